//! A forwarder of datagrams, and between datagrams and streams.

use std::io::{Read, Write};
use std::net::{Shutdown, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::tests;
use crate::util::data::{random, settled};
use crate::util::udp::{expect_nothing, receive, receive_from};
use crate::util::{PATIENCE, Running, eventually, net, pktcat, pktcat_line, proc};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        each_client_has_a_socket_of_its_own,
        boundaries_and_sizes_are_kept,
        only_the_server_answers,
        a_refusal_is_told_and_no_end,
        a_silent_client_is_forgotten,
        the_longest_idle_client_makes_room,
        one_client_and_its_status,
        local_datagrams_on_either_side,
        a_local_server_that_comes_back_is_found_again,
        refusals_do_not_fill_a_log,
        each_client_is_told_of_its_refusal,
        datagrams_are_frames_in_a_stream,
        datagrams_are_lines_in_a_stream,
        a_stream_of_frames_becomes_datagrams,
        a_stream_that_is_no_frames_is_cut_off,
        frames_before_what_is_none_are_sent,
        a_stream_server_that_is_not_there_is_told,
        a_flood_arrives_but_for_what_the_kernel_drops,
        many_clients_leave_nothing_behind,
        framing_is_for_crossings_only,
    ]
}

/// A forwarder of datagrams, and the server that it leads to.
fn forwarder(options: &str) -> (Running, UdpSocket) {
    let (server, port) = net::udp();
    let running = pktcat_line(&format!("forward -u {options} 0 127.0.0.1:{port}")).spawn();
    (running, server)
}

/// A client of a forwarder.
pub(super) fn client_of(running: &Running) -> UdpSocket {
    let (client, _) = net::udp();
    client.connect(("127.0.0.1", running.port())).unwrap();
    client
}

fn each_client_has_a_socket_of_its_own() {
    let (running, server) = forwarder("-v");
    let clients: Vec<_> = (0..3).map(|_| client_of(&running)).collect();
    let mut routes = Vec::new();
    for (n, client) in clients.iter().enumerate() {
        client.send(&[n as u8]).unwrap();
        let (payload, from) = receive_from(&server);
        assert_eq!(payload, [n as u8]);
        routes.push(from);
    }
    routes.dedup();
    assert_eq!(routes.len(), 3);
    for (n, route) in routes.iter().enumerate().rev() {
        server.send_to(&[10 + n as u8], route).unwrap();
        assert_eq!(receive(&clients[n]), [10 + n as u8]);
    }
    // A client that speaks again is the same.
    clients[1].send(b"again").unwrap();
    assert_eq!(receive_from(&server).1, routes[1]);
    running.wait_line(&format!("#3 accepted {}", clients[2].local_addr().unwrap()));
    running.wait_line(&format!("#3 connected {}", server.local_addr().unwrap()));
}

fn boundaries_and_sizes_are_kept() {
    let (running, server) = forwarder("");
    let client = client_of(&running);
    for size in [0, 1, 1472, 0, 9000, 65_507, 2] {
        let payload = random(size as u64, size);
        client.send(&payload).unwrap();
        let (came, route) = receive_from(&server);
        assert_eq!(came, payload);
        server.send_to(&payload, route).unwrap();
        assert_eq!(receive(&client), payload);
    }
}

fn only_the_server_answers() {
    let (running, server) = forwarder("");
    let client = client_of(&running);
    client.send(b"who?").unwrap();
    let (_, route) = receive_from(&server);
    let (stranger, _) = net::udp();
    stranger.send_to(b"me!", route).unwrap();
    expect_nothing(&client);
}

fn a_refusal_is_told_and_no_end() {
    // A connected socket refuses whoever it is not connected to.
    let (server, port) = net::udp();
    server.connect("127.0.0.1:1").unwrap();
    let running = pktcat_line(&format!("forward -u 0 127.0.0.1:{port}")).spawn();
    let client = client_of(&running);
    client.send(b"x").unwrap();
    let own = client.local_addr().unwrap();
    running.wait_line(&format!(
        "pktcat: receive: 127.0.0.1:{port} (udp): connection refused (for #1 {own}; ICMP"
    ));
    client.send(b"y").unwrap();
    running.expect_running();
}

fn a_silent_client_is_forgotten() {
    let (running, server) = forwarder("-v --idle-timeout 100ms");
    let client = client_of(&running);
    client.send(b"x").unwrap();
    let (_, route) = receive_from(&server);
    running.wait_line("#1 closed, 1 bytes up, 0 bytes down, ");
    client.send(b"x").unwrap();
    assert_ne!(receive_from(&server).1, route);
    running.wait_line("#2 accepted ");
}

fn the_longest_idle_client_makes_room() {
    let (running, server) = forwarder("-v --max-clients 2");
    let clients: Vec<_> = (0..3).map(|_| client_of(&running)).collect();
    let mut routes = Vec::new();
    for speaker in [0, 1, 0, 2] {
        clients[speaker].send(b"x").unwrap();
        routes.push(receive_from(&server).1);
    }
    let idle = clients[1].local_addr().unwrap();
    running.wait_line(&format!(
        "pktcat: receive: {idle} (udp): forgotten, the longest idle of 2 clients"
    ));
    running.wait_line("#2 closed");
    // The one that spoke later is still the same.
    clients[0].send(b"x").unwrap();
    assert_eq!(receive_from(&server).1, routes[0]);
    // Each that goes is named, however soon it follows.
    clients[1].send(b"x").unwrap();
    let idle = clients[2].local_addr().unwrap();
    running.wait_line(&format!("pktcat: receive: {idle} (udp): forgotten, the longest idle"));
}

fn one_client_and_its_status() {
    let (running, server) = forwarder("--once --idle-timeout 200ms");
    let client = client_of(&running);
    client.send(b"x").unwrap();
    let (_, route) = receive_from(&server);
    server.send_to(b"y", route).unwrap();
    assert_eq!(receive(&client), b"y");
    running.wait().expect_code(0);

    // A connected socket refuses whoever it is not connected to.
    let (server, port) = net::udp();
    server.connect("127.0.0.1:1").unwrap();
    let line = format!("forward -u --once --idle-timeout 100ms 0 127.0.0.1:{port}");
    let running = pktcat_line(&line).spawn();
    client_of(&running).send(b"x").unwrap();
    let ended = running.wait().expect_code(4);
    assert_eq!(ended.stderr.matches("connection refused").count(), 1, "{}", ended.stderr);
}

fn local_datagrams_on_either_side() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    let server = UnixDatagram::bind(place("to")).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let inner = pktcat(["forward", "-u", "0", &format!("unix:{}", place("to").display())]).spawn();
    let outer = format!("unix:{}", place("from").display());
    let port = inner.port();
    let outer = pktcat(["forward", "-v", "-u", &outer, &format!("127.0.0.1:{port}")]).spawn();
    outer.wait_line("listening on ");
    expect_across(dir.path(), &server);
}

/// Datagrams get from a client of `from` in this folder to the server, and answers back.
#[track_caller]
pub(super) fn expect_across(folder: &Path, server: &UnixDatagram) {
    let client = UnixDatagram::bind(folder.join("client")).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.connect(folder.join("from")).unwrap();
    let mut buffer = [0; 16];
    for payload in [&b"across"[..], b"", b"again"] {
        client.send(payload).unwrap();
        let (n, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..n], payload);
        server.send_to_addr(b"and back", &from).unwrap();
        assert_eq!(client.recv(&mut buffer).unwrap(), 8);
    }
}

fn a_local_server_that_comes_back_is_found_again() {
    for from in ["udp:0", "tcp:0"] {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("to");
        let bind = || {
            let server = UnixDatagram::bind(&place).unwrap();
            server.set_read_timeout(Some(PATIENCE)).unwrap();
            server
        };
        let server = bind();
        let line = format!("forward -u {from} unix:{}", place.display());
        let running = pktcat_line(&line).spawn();
        let datagrams = client_of(&running);
        let stream = (from == "tcp:0").then(|| net::connect(running.port()));
        let say = |word: &[u8]| match &stream {
            None => assert!(datagrams.send(word).is_ok()),
            Some(stream) => {
                let length = (word.len() as u32).to_be_bytes();
                let mut stream = stream;
                stream.write_all(&[&length, word].concat()).unwrap();
            }
        };
        let mut buffer = [0; 16];
        say(b"one");
        assert_eq!(server.recv(&mut buffer).unwrap(), 3);
        drop(server);
        std::fs::remove_file(&place).unwrap();
        // A program that a test starts right now may hold the server for a moment more.
        eventually("a line about nobody", || {
            say(b"nobody");
            running.stderr_now().contains("pktcat: send: ").then_some(())
        });
        let server = bind();
        say(b"three");
        // What nobody took may just be tried again.
        loop {
            let length = server.recv(&mut buffer).unwrap();
            if &buffer[..length] == b"three" {
                break;
            }
        }
    }
}

fn refusals_do_not_fill_a_log() {
    const COUNT: usize = 100;
    let (_deaf, port) = net::refusing_udp_port();
    for from in ["udp:0", "tcp:0"] {
        let running = pktcat_line(&format!("forward {from} udp:127.0.0.1:{port}")).spawn();
        let begun = Instant::now();
        if from == "udp:0" {
            let client = client_of(&running);
            (0..COUNT).for_each(|_| assert!(client.send(b"x").is_ok()));
        } else {
            let mut client = net::connect(running.port());
            client.write_all(&b"\0\0\0\x01x".repeat(COUNT)).unwrap();
            net::finish(&client);
            net::read_to_fin(&client);
        }
        running.wait_line("pktcat: ");
        running.signal(Signal::SIGTERM);
        let text = running.wait().stderr;
        let refused = text.matches("connection refused").count() as u64;
        // One a second.
        assert!((1..=begun.elapsed().as_secs() + 1).contains(&refused), "{text}");
    }
}

fn each_client_is_told_of_its_refusal() {
    let (_deaf, port) = net::refusing_udp_port();
    let running = pktcat_line(&format!("forward tcp:0 udp:127.0.0.1:{port}")).spawn();
    let clients: Vec<_> = (0..3).map(|_| net::connect(running.port())).collect();
    for mut client in &clients {
        client.write_all(b"\0\0\0\x01x").unwrap();
    }
    eventually("a line about each", || {
        let told = running.stderr_now();
        (1..=3).all(|client| told.contains(&format!("(for #{client} "))).then_some(())
    });
}

fn datagrams_are_frames_in_a_stream() {
    let (listener, port) = net::listener();
    let running = pktcat_line(&format!("forward udp:0 127.0.0.1:{port}")).spawn();
    let client = client_of(&running);
    for payload in [&b"one"[..], b"", b"three"] {
        client.send(payload).unwrap();
    }
    let mut server = net::accept(&listener);
    let wanted = b"\0\0\0\x03one\0\0\0\0\0\0\0\x05three";
    assert_eq!(net::read_exactly(&server, wanted.len()), wanted);
    for part in [&b"\0\0"[..], b"\0\x04ba", b"ck\0\0\0\0"] {
        server.write_all(part).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(receive(&client), b"back");
    assert_eq!(receive(&client), b"");
    // After the server's end the client gets a connection of its own again.
    drop(server);
    eventually("another connection", || {
        client.send(b"x").unwrap();
        listener.set_nonblocking(true).unwrap();
        listener.accept().ok()
    });
}

fn datagrams_are_lines_in_a_stream() {
    let (listener, port) = net::listener();
    let running = pktcat_line(&format!("forward --lines udp:0 127.0.0.1:{port}")).spawn();
    let client = client_of(&running);
    client.send(b"one").unwrap();
    client.send(b"two\n").unwrap();
    let mut server = net::accept(&listener);
    assert_eq!(net::read_exactly(&server, 8), b"one\ntwo\n");
    server.write_all(b"a\nbc\n").unwrap();
    assert_eq!(receive(&client), b"a");
    assert_eq!(receive(&client), b"bc");
}

fn a_stream_of_frames_becomes_datagrams() {
    let (server, port) = net::udp();
    let running = pktcat_line(&format!("forward -v 0 udp:127.0.0.1:{port}")).spawn();
    let mut client = net::connect(running.port());
    client.write_all(b"\0\0\0\x02hi\0\0\0\0\0\0\0\x05th").unwrap();
    assert_eq!(receive(&server), b"hi");
    let (empty, route) = receive_from(&server);
    assert_eq!(empty, b"");
    client.write_all(b"ere").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(receive(&server), b"there");
    server.send_to(b"answer", route).unwrap();
    let mut text = Vec::new();
    client.read_to_end(&mut text).unwrap();
    assert_eq!(text, b"\0\0\0\x06answer");
    running.wait_line("#1 closed, 7 bytes up, 6 bytes down, ");
}

fn a_stream_that_is_no_frames_is_cut_off() {
    let (server, port) = net::udp();
    let running = pktcat_line(&format!("forward -v 0 udp:127.0.0.1:{port}")).spawn();
    let mut client = net::connect(running.port());
    client.write_all(b"\xff\xff\xff\xff").unwrap();
    assert!(client.read_to_end(&mut Vec::new()).is_err());
    running.wait_line("pktcat: receive: ");
    expect_nothing(&server);
    running.expect_running();
}

fn frames_before_what_is_none_are_sent() {
    for options in ["", "--impair delay=50ms"] {
        let (server, port) = net::udp();
        let line = format!("forward {options} 0 udp:127.0.0.1:{port}");
        let running = pktcat_line(&line).spawn();
        let mut client = net::connect(running.port());
        client.write_all(b"\0\0\0\x01A\0\0\0\x01B\xff\xff\xff\xff").unwrap();
        assert_eq!([receive(&server), receive(&server)], [b"A", b"B"], "{options}");
        assert!(client.read_to_end(&mut Vec::new()).is_err());
        running.wait_line("pktcat: receive: ");
        expect_nothing(&server);
    }
}

fn a_stream_server_that_is_not_there_is_told() {
    let (_held, port) = net::refusing_port();
    let running = pktcat_line(&format!("forward udp:0 127.0.0.1:{port}")).spawn();
    let client = client_of(&running);
    client.send(b"x").unwrap();
    let own = client.local_addr().unwrap();
    running.wait_line(&format!(
        "pktcat: connect: 127.0.0.1:{port} (tcp): connection refused (for #1 {own})"
    ));
    running.expect_running();
}

fn a_flood_arrives_but_for_what_the_kernel_drops() {
    const COUNT: usize = 20_000;
    let (server, port) = net::udp();
    server.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let running = pktcat_line(&format!("forward -u 0 127.0.0.1:{port}")).spawn();
    let client = client_of(&running);
    let reader = std::thread::spawn(move || {
        let (mut came, mut buffer) = (0, [0; 100]);
        while server.recv(&mut buffer).is_ok_and(|n| n == 64) {
            came += 1;
        }
        came
    });
    for n in 0..COUNT {
        client.send(&[n as u8; 64]).unwrap();
        if n % 64 == 0 {
            std::thread::yield_now();
        }
    }
    let came: usize = reader.join().unwrap();
    running.signal(Signal::SIGUSR1);
    let line = running.wait_line("sent ");
    let passed: usize = line.split(' ').nth(4).unwrap().parse().unwrap();
    assert!(came > 0 && came <= COUNT);
    // Whatever the forwarder has sent, it has received, and nothing of it was lost in between.
    let drops = line.split("kernel drops ").nth(1).unwrap();
    let drops: usize = drops.split(',').next().unwrap().parse().unwrap();
    assert_eq!(passed + drops, COUNT, "{line}");
}

fn many_clients_leave_nothing_behind() {
    let (running, server) = forwarder("--idle-timeout 300ms");
    let count = || proc::descriptors(running.pid()).len() as u64;
    let before = settled("descriptors", count);
    let port = running.port();
    let clients: Vec<_> = (0..200)
        .map(|_| {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.send_to(b"x", ("127.0.0.1", port)).unwrap();
            receive(&server);
            client
        })
        .collect();
    drop(clients);
    eventually("all to be forgotten", || (count() <= before).then_some(()));
}

fn framing_is_for_crossings_only() {
    for line in [
        "forward --frames 0 127.0.0.1:9",
        "forward -u --lines 0 127.0.0.1:9",
        "forward --lines --frames udp:0 127.0.0.1:9",
    ] {
        pktcat_line(line).run().expect_code(2);
    }
}
