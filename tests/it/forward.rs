//! A forwarder of streams: each side sees of the other what a direct connection would have shown it.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::tests;
use crate::util::data::{
    assert_same, check_random, random, settled, write_random, write_until_stalled,
};
use crate::util::harness::Need;
use crate::util::{Running, eventually, net, pktcat, pktcat_line, proc};

mod addresses;
mod crossings;
mod datagrams;
mod idle;
mod impaired;
mod load;
mod places;
mod proxied_crossings;
mod secured;
mod secured_crossings;
mod seen;
mod services;
mod unsent;

pub(crate) fn tests() -> Vec<Trial> {
    let mut all = tests![
        what_each_side_says_reaches_the_other,
        a_fin_is_passed_on_and_the_other_direction_goes_on,
        a_reset_is_passed_on_after_all_that_came_before,
        a_side_that_leaves_data_unread_resets_the_other,
        a_refusal_resets_the_client_and_the_forwarder_goes_on,
        a_server_that_never_answers_is_given_up_in_time,
        a_client_is_read_only_once_the_server_is_there,
        a_stalled_side_stops_the_other_and_nobody_else,
        both_ways_at_once_unharmed,
        the_first_client_ends_the_run_with_its_status,
        local_sockets_on_either_side,
        silence_ends_a_client_where_that_was_asked_for,
        a_stop_resets_whoever_is_connected,
        clients_over_the_limit_are_turned_away,
        the_gate_is_that_of_listen,
        many_clients_come_and_go_and_leave_nothing_behind,
        ipv6_is_forwarded_to_ipv4 needs [Need::Ipv6],
        words_that_make_no_sense_are_usage_errors,
        hosts_are_checked_before_anything_is_done,
        the_port_is_written_to_a_file,
    ];
    all.extend(addresses::tests());
    all.extend(crossings::tests());
    all.extend(datagrams::tests());
    all.extend(idle::tests());
    all.extend(impaired::tests());
    all.extend(secured::tests());
    all.extend(secured_crossings::tests());
    all.extend(seen::tests());
    all.extend(load::tests());
    all.extend(places::tests());
    all.extend(proxied_crossings::tests());
    all.extend(services::tests());
    all.extend(unsent::tests());
    all
}

/// A forwarder, and the listener that it leads to.
pub(crate) fn forwarder(options: &str) -> (Running, TcpListener) {
    let (listener, port) = net::listener();
    let running = pktcat_line(&format!("forward {options} 0 127.0.0.1:{port}")).spawn();
    (running, listener)
}

/// A forwarder, a client of it, and the server's end.
fn joined(options: &str) -> (Running, TcpStream, TcpStream) {
    let (running, listener) = forwarder(options);
    let client = net::connect(running.port());
    let server = net::accept(&listener);
    (running, client, server)
}

/// Both ways to look at a joined pair: who acts, and who watches.
fn each_side(options: &str, test: impl Fn(TcpStream, TcpStream)) {
    for is_client in [true, false] {
        let (running, client, server) = joined(options);
        if is_client {
            test(client, server)
        } else {
            test(server, client)
        }
        running.expect_running();
    }
}

/// Reads until a reset; what came before it.
#[track_caller]
fn read_to_reset(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => bytes,
        other => panic!("no reset after {} bytes: {other:?}", bytes.len()),
    }
}

fn what_each_side_says_reaches_the_other() {
    each_side("", |mut one, mut other| {
        for round in 0..3 {
            let text = format!("round {round}");
            one.write_all(text.as_bytes()).unwrap();
            assert_eq!(net::read_exactly(&other, text.len()), text.as_bytes());
            other.write_all(b"heard").unwrap();
            assert_eq!(net::read_exactly(&one, 5), b"heard");
        }
    });
}

fn a_fin_is_passed_on_and_the_other_direction_goes_on() {
    each_side("", |mut one, mut other| {
        one.write_all(b"all of it").unwrap();
        net::finish(&one);
        assert_eq!(net::read_to_fin(&other), b"all of it");
        other.write_all(b"late").unwrap();
        assert_eq!(net::read_exactly(&one, 4), b"late");
        other.write_all(b" and last").unwrap();
        net::finish(&other);
        assert_eq!(net::read_to_fin(&one), b" and last");
    });
}

fn a_reset_is_passed_on_after_all_that_came_before() {
    each_side("", |mut one, other| {
        let sent = random(1, 300_000);
        one.write_all(&sent).unwrap();
        // A reset takes what has not left with it.
        net::wait_acknowledged(&one);
        net::reset(one);
        assert_same(&read_to_reset(&other), &sent);
    });
}

fn a_side_that_leaves_data_unread_resets_the_other() {
    each_side("", |mut one, mut other| {
        other.write_all(b"never read").unwrap();
        one.write_all(b"goodbye").unwrap();
        net::wait_acknowledged(&one);
        // Closing with something unread is a reset (RFC 2525, 2.17).
        eventually("it to arrive", || {
            (one.peek(&mut [0; 16]).is_ok_and(|n| n == 10)).then_some(())
        });
        drop(one);
        assert_eq!(read_to_reset(&other), b"goodbye");
    });
}

fn a_refusal_resets_the_client_and_the_forwarder_goes_on() {
    let (held, port) = net::refusing_port();
    let running = pktcat_line(&format!("forward 0 127.0.0.1:{port}")).spawn();
    for number in 1..=2 {
        // It may be reset before the system has told that it is connected.
        let own = TcpStream::connect(("127.0.0.1", running.port())).map(|client| {
            let own = client.local_addr().unwrap();
            assert_eq!(read_to_reset(&client), b"");
            own
        });
        let line = running.wait_lines("pktcat: ", number).remove(number - 1);
        let told =
            format!("pktcat: connect: 127.0.0.1:{port} (tcp): connection refused (for #{number} ");
        assert!(line.starts_with(&told), "{line}");
        if let Ok(own) = own {
            assert_eq!(line, format!("{told}{own})"));
        }
    }
    held.listen(1).unwrap();
    let listener = TcpListener::from(held);
    let _client = net::connect(running.port());
    net::accept(&listener);
}

fn a_server_that_never_answers_is_given_up_in_time() {
    let (_held, port) = net::unanswering_port();
    let running = pktcat_line(&format!("forward -w 100ms 0 127.0.0.1:{port}")).spawn();
    let client = net::connect(running.port());
    assert_eq!(read_to_reset(&client), b"");
    running.wait_line(&format!("pktcat: connect: 127.0.0.1:{port} (tcp): no answer within 100ms"));
}

fn a_client_is_read_only_once_the_server_is_there() {
    let (_held, port) = net::unanswering_port();
    let running = pktcat_line(&format!("forward 0 127.0.0.1:{port}")).spawn();
    let mut client = net::connect(running.port());
    client.set_nonblocking(true).unwrap();
    let sent = write_until_stalled(&mut client, 1);
    assert!(sent > 0);
    // It is bounded by the system's buffers, so nothing was taken out of them.
    let memory = settled("memory", || proc::memory_kib(running.pid(), "VmRSS"));
    assert!(memory < 20_000, "{memory} KiB");
}

fn a_stalled_side_stops_the_other_and_nobody_else() {
    let (running, listener) = forwarder("");
    let port = running.port();
    let mut pairs = Vec::new();
    for _ in 0..8 {
        let client = net::connect(port);
        pairs.push((client, net::accept(&listener)));
    }
    let sent: Vec<_> = pairs
        .iter_mut()
        .enumerate()
        .map(|(n, (client, server))| {
            let one = if n % 2 == 0 { client } else { server };
            one.set_nonblocking(true).unwrap();
            let sent = write_until_stalled(one, n as u64);
            one.set_nonblocking(false).unwrap();
            sent
        })
        .collect();
    let mut client = net::connect(port);
    let mut server = net::accept(&listener);
    client.write_all(b"through").unwrap();
    assert_eq!(net::read_exactly(&server, 7), b"through");
    server.write_all(b"back").unwrap();
    assert_eq!(net::read_exactly(&client, 4), b"back");
    for (n, (client, server)) in pairs.into_iter().enumerate() {
        let (one, other) = if n % 2 == 0 { (client, server) } else { (server, client) };
        net::finish(&one);
        assert_eq!(check_random(&other, n as u64), sent[n]);
    }
}

fn both_ways_at_once_unharmed() {
    const SIZE: u64 = 64 << 20;
    let (_running, client, server) = joined("");
    let ends = [(client.try_clone().unwrap(), 1), (server.try_clone().unwrap(), 2)];
    let writers = ends.map(|(end, seed)| {
        thread::spawn(move || {
            assert_eq!(write_random(&end, seed, SIZE), SIZE);
            net::finish(&end);
        })
    });
    let readers = [(client, 2), (server, 1)]
        .map(|(end, seed)| thread::spawn(move || assert_eq!(check_random(&end, seed), SIZE)));
    writers.into_iter().chain(readers).for_each(|thread| thread.join().unwrap());
}

fn the_first_client_ends_the_run_with_its_status() {
    let (running, mut client, mut server) = joined("--once");
    client.write_all(b"one").unwrap();
    net::finish(&client);
    assert_eq!(net::read_to_fin(&server), b"one");
    server.write_all(b"two").unwrap();
    net::finish(&server);
    assert_eq!(net::read_to_fin(&client), b"two");
    let ended = running.wait().expect_code(0);
    assert_eq!((ended.stdout_text(), ended.stderr.contains("pktcat:")), (String::new(), false));

    let (running, client, server) = joined("--once");
    net::reset(server);
    assert_eq!(read_to_reset(&client), b"");
    running.wait().expect_code(8);

    let (_held, port) = net::refusing_port();
    let running = pktcat_line(&format!("forward --once 0 127.0.0.1:{port}")).spawn();
    // It may be reset before the system has told that it is connected.
    drop(TcpStream::connect(("127.0.0.1", running.port())));
    let ended = running.wait().expect_code(4);
    assert_eq!(ended.stderr.matches("connection refused").count(), 1, "{}", ended.stderr);
}

fn local_sockets_on_either_side() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let server = UnixListener::bind(&to).unwrap();
    let inner = pktcat(["forward", "0", &format!("unix:{}", to.display())]).spawn();
    let outer = format!("unix:{}", from.display());
    let outer =
        pktcat(["forward", "-v", &outer, &format!("tcp:127.0.0.1:{}", inner.port())]).spawn();
    outer.wait_line("listening on ");
    let mut client = UnixStream::connect(&from).unwrap();
    let (mut server, _) = server.accept().unwrap();
    client.write_all(b"across").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    server.read_to_string(&mut text).unwrap();
    assert_eq!(text, "across");
    server.write_all(b"and back").unwrap();
    drop(server);
    text.clear();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "and back");
    outer.signal(Signal::SIGTERM);
    outer.wait();
    assert!(!from.exists());
}

fn silence_ends_a_client_where_that_was_asked_for() {
    let (running, client, server) = joined("-v --idle-timeout 100ms");
    assert_eq!(read_to_reset(&client), b"");
    assert_eq!(read_to_reset(&server), b"");
    running.wait_line("#1 timed out: nothing has passed after 100ms (--idle-timeout)");
    running.expect_running();
}

fn a_stop_resets_whoever_is_connected() {
    let (running, client, server) = joined("");
    running.signal(Signal::SIGTERM);
    assert_eq!(read_to_reset(&client), b"");
    assert_eq!(read_to_reset(&server), b"");
    running.wait().expect_signal(Signal::SIGTERM);
}

fn clients_over_the_limit_are_turned_away() {
    let (running, listener) = forwarder("--max-clients 1");
    let first = net::connect(running.port());
    let server = net::accept(&listener);
    let second = net::connect(running.port());
    let own = second.local_addr().unwrap();
    running.wait_line(&format!("pktcat: accept: {own} (tcp): turned away by --max-clients"));
    drop((first, server));
    eventually("a place", || {
        let _third = net::connect(running.port());
        listener.set_nonblocking(true).unwrap();
        let came = listener.accept().is_ok();
        came.then_some(())
    });
}

fn the_gate_is_that_of_listen() {
    let (running, _listener) = forwarder("--deny 127.0.0.0/8");
    let client = net::connect(running.port());
    let own = client.local_addr().unwrap();
    running.wait_line(&format!("pktcat: accept: {own} (tcp): turned away by --deny"));
}

fn many_clients_come_and_go_and_leave_nothing_behind() {
    let (running, listener) = forwarder("");
    let port = running.port();
    let round = |count: usize| {
        for _ in 0..count {
            let mut client = net::connect(port);
            let server = net::accept(&listener);
            client.write_all(b"x").unwrap();
            assert_eq!(net::read_exactly(&server, 1), b"x");
        }
    };
    round(100);
    let before = settled("descriptors", || proc::descriptors(running.pid()).len() as u64);
    round(1000);
    let after = settled("descriptors", || proc::descriptors(running.pid()).len() as u64);
    assert_eq!(before, after);
}

fn ipv6_is_forwarded_to_ipv4() {
    let (listener, port) = net::listener();
    let running = pktcat_line(&format!("forward [::1]:0 127.0.0.1:{port}")).spawn();
    assert!(running.listening_on().starts_with("[::1]:"));
    let mut client = net::connect_to(format!("[::1]:{}", running.port()).parse().unwrap());
    client.write_all(b"x").unwrap();
    assert_eq!(net::read_exactly(&net::accept(&listener), 1), b"x");
}

fn words_that_make_no_sense_are_usage_errors() {
    for line in [
        "forward 0",
        "forward 0 127.0.0.1:0",
        "forward 0 http://127.0.0.1:80",
        "forward 0 unix:",
        "forward 0 127.0.0.1:80 --max-clients 0",
        "forward 0 unix:/tmp/x --pcap /tmp/never",
        "forward unix:/tmp/x 80 --allow 127.0.0.1",
        "forward unix:/tmp/x 80 --port-file /tmp/never",
        "forward 0 127.0.0.1:80 -t -u",
        "forward 0 127.0.0.1:80 --join 239.0.0.1",
        "forward 0 udp:127.0.0.1:80 --join 239.0.0.1",
    ] {
        let ended = pktcat_line(line).run().expect_code(2);
        assert_eq!(ended.stderr.lines().count(), 1, "{line}: {}", ended.stderr);
    }
    pktcat_line("forward -n 0 no.such.name.invalid:80").run().expect_code(3);
}

fn hosts_are_checked_before_anything_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dump");
    for (words, code) in [
        // A proxy would look TO up, but what was written has to fit all the same.
        ("-n --proxy http://127.0.0.1:1 0 target.example:80", 3),
        ("-4 --proxy http://127.0.0.1:1 0 [2001:db8::1]:80", 2),
        ("-6 --proxy socks5://[::1]:1 0 192.0.2.1:80", 2),
        ("-n --proxy http://proxy.example:1 0 192.0.2.1:80", 3),
        ("-4 [::1]:0 192.0.2.1:80", 2),
        ("-n here.example:0 192.0.2.1:80", 3),
    ] {
        let line = format!("forward --hex-file {} {words}", file.display());
        let ended = pktcat_line(&line).run().expect_code(code);
        assert_eq!(ended.stderr.lines().count(), 1, "{words}: {}", ended.stderr);
        assert!(!file.exists(), "{words}");
    }
}

fn the_port_is_written_to_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("port");
    let (running, _listener) = forwarder(&format!("--port-file {}", file.display()));
    let port = running.port();
    let text = eventually("the file", || std::fs::read_to_string(&file).ok());
    assert_eq!(text.trim(), port.to_string());
}
