//! A forwarder between datagrams and streams that are protected by TLS.

use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use socket2::SockRef;

use super::datagrams::{client_of, expect_across};
use super::read_to_reset;
use super::seen::{first, json_port, told};
use crate::tests;
use crate::util::data::settled;
use crate::util::harness::Need;
use crate::util::tls::{self, Authority, Dates, Pair, Peer};
use crate::util::udp::{expect_nothing, receive, receive_from};
use crate::util::{Input, PATIENCE, Running, eventually, net, pktcat, pktcat_line, proc, program};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        datagrams_go_into_tls_and_come_back,
        datagrams_wait_until_the_handshake_is_over,
        what_tls_has_taken_leaves_though_nothing_follows,
        the_stream_of_a_client_that_is_forgotten_ends_whole,
        a_server_of_datagrams_that_is_not_trusted_is_told_and_others_come,
        a_handshake_with_the_server_of_datagrams_ends_in_time,
        the_end_of_a_server_is_judged_by_its_close_notify,
        those_who_fail_leave_nothing_behind,
        a_stream_of_tls_becomes_datagrams,
        a_bare_fin_of_a_client_is_told_and_status_8,
        a_client_that_speaks_no_tls_is_told_of,
        a_bare_fin_between_streams_is_told,
        events_of_tls_name_the_client,
        local_datagrams_cross_into_tls_and_back,
        openssl_is_at_the_other_end needs [Need::Program("openssl")],
    ]
}

/// An authority, and a certificate of it for this machine.
pub(super) fn here() -> (Authority, Pair) {
    let authority = Authority::new("one");
    let pair = authority.certify("here", &["localhost", "127.0.0.1"], Dates::Now);
    (authority, pair)
}

/// A forwarder with these options from datagrams to TLS, and the listener that it leads to.
fn into_tls(options: &str, root: &Path) -> (Running, TcpListener) {
    let (listener, port) = net::listener();
    let running = pktcat(["forward", "--ca"])
        .arg(root)
        .args(options.split_whitespace())
        .args(["udp:0", &format!("tls:127.0.0.1:{port}")])
        .spawn();
    (running, listener)
}

/// A forwarder with these options from TLS to datagrams, and the server.
fn out_of_tls(options: &str, pair: &Pair) -> (Running, UdpSocket) {
    let (server, port) = net::udp();
    let running = pktcat(["forward", "--cert"])
        .arg(&pair.cert)
        .arg("--key")
        .arg(&pair.key)
        .args(options.split_whitespace())
        .args(["tls:127.0.0.1:0", &format!("udp:127.0.0.1:{port}")])
        .spawn();
    (running, server)
}

/// A client of a forwarder that speaks TLS.
fn client_in_tls(running: &Running, authority: &Authority) -> Peer {
    tls::connect(net::connect(running.port()), &authority.root(), "localhost")
}

fn datagrams_go_into_tls_and_come_back() {
    let server = pktcat_line("listen -k --echo --tls 127.0.0.1 0").spawn();
    let line = format!("forward -v --insecure udp:0 tls:127.0.0.1:{}", server.port());
    let running = pktcat_line(&line).spawn();
    for number in 1..=2 {
        let client = client_of(&running);
        for payload in [&b"one"[..], b"", &[7; 65_507], b"four"] {
            client.send(payload).unwrap();
            assert_eq!(receive(&client), payload);
        }
        running.wait_line(&format!("#{number} connected 127.0.0.1:{}", server.port()));
    }
    running.wait_lines(&format!("tls with 127.0.0.1:{}: TLS 1.3", server.port()), 2);
}

fn datagrams_wait_until_the_handshake_is_over() {
    let (authority, pair) = here();
    let (running, listener) = into_tls("", &authority.root());
    let client = client_of(&running);
    for payload in [&b"one"[..], b"", b"three"] {
        client.send(payload).unwrap();
    }
    let wanted = b"\0\0\0\x03one\0\0\0\0\0\0\0\x05three";
    let mut peer = tls::serve(net::accept(&listener), &pair);
    assert_eq!(peer.read_exactly(wanted.len()), wanted);
    peer.send(b"\0\0\0\x04back\0\0");
    peer.send(b"\0\0");
    assert_eq!(receive(&client), b"back");
    assert_eq!(receive(&client), b"");
    // The server has ended; the next datagram gets a connection of its own.
    peer.notify();
    assert_eq!(peer.read_to_end(), (Vec::new(), true));
    client.send(b"again").unwrap();
    let mut peer = tls::serve(net::accept(&listener), &pair);
    assert_eq!(peer.read_exactly(9), b"\0\0\0\x05again");
    assert!(!running.stderr_now().contains("pktcat: "), "{}", running.stderr_now());
}

fn what_tls_has_taken_leaves_though_nothing_follows() {
    const COUNT: usize = 60;
    let (authority, pair) = here();
    let (running, listener) = into_tls("-v --sndbuf 8192", &authority.root());
    SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    let client = client_of(&running);
    client.send(&[0; 1000]).unwrap();
    let mut peer = tls::serve(net::accept(&listener), &pair);
    for number in 1..COUNT {
        client.send(&[number as u8; 1000]).unwrap();
    }
    let messages = peer.read_exactly(COUNT * 1004);
    for (number, message) in messages.chunks(1004).enumerate() {
        assert!(message.starts_with(&1000_u32.to_be_bytes()), "message {number}");
        assert!(message[4..].iter().all(|byte| *byte == number as u8), "message {number}");
    }
    peer.notify();
    running.wait_line(&format!("#1 closed, {} bytes up, 0 bytes down", COUNT * 1000));
}

fn the_stream_of_a_client_that_is_forgotten_ends_whole() {
    let (authority, pair) = here();
    let (running, listener) = into_tls("-v --idle-timeout 200ms", &authority.root());
    client_of(&running).send(b"all of it").unwrap();
    let mut peer = tls::serve(net::accept(&listener), &pair);
    assert_eq!(peer.read_to_end(), (b"\0\0\0\x09all of it".to_vec(), true));
    running.wait_line("#1 closed, 9 bytes up, 0 bytes down, ");
}

fn a_server_of_datagrams_that_is_not_trusted_is_told_and_others_come() {
    let (_authority, pair) = here();
    let other = Authority::new("other");
    let (running, listener) = into_tls("--json", &other.root());
    let port = json_port(&running);
    for number in 1..=2 {
        let (client, own) = net::udp();
        client.send_to(b"one", ("127.0.0.1", port)).unwrap();
        let mut peer = tls::server(net::accept(&listener), &pair);
        while peer.tls.complete_io(&mut peer.socket).is_ok_and(|moved| moved != (0, 0)) {}
        let closed = running.wait_lines("{\"event\":\"closed\"", number).remove(number - 1);
        assert_eq!(told(&closed)[0]["peer_port"], own, "{closed}");
        expect_nothing(&client);
    }
    running.signal(Signal::SIGTERM);
    let text = running.wait().stderr;
    let events = told(&text);
    let error = first(&events, "error");
    assert_eq!(error["status"], 9, "{text}");
    assert!(error["message"].as_str().unwrap().contains("for #1 "), "{text}");
    // Nothing of what has waited was sent.
    let summary = first(&events, "summary");
    assert_eq!((&summary["sent_messages"], &summary["unsent"]), (&0.into(), &2.into()), "{text}");

    let (running, listener) = into_tls("--once", &other.root());
    client_of(&running).send(b"x").unwrap();
    let mut peer = tls::server(net::accept(&listener), &pair);
    while peer.tls.complete_io(&mut peer.socket).is_ok_and(|moved| moved != (0, 0)) {}
    let ended = running.wait().expect_code(9);
    assert_eq!(ended.stderr.matches("pktcat: tls: ").count(), 1, "{}", ended.stderr);
}

fn a_handshake_with_the_server_of_datagrams_ends_in_time() {
    let (authority, _) = here();
    let (running, listener) = into_tls("-w 100ms", &authority.root());
    let client = client_of(&running);
    client.send(b"x").unwrap();
    let silent = net::accept(&listener);
    let line = running.wait_line("pktcat: ");
    assert!(line.contains("handshake") && line.contains("(for #1 "), "{line}");
    drop(silent);
    running.expect_running();
}

fn the_end_of_a_server_is_judged_by_its_close_notify() {
    let (authority, pair) = here();
    for (options, is_whole, code) in [("", true, 0), ("", false, 8), ("--accept-fin", false, 0)] {
        let options = format!("--once --lines {options}");
        let (running, listener) = into_tls(&options, &authority.root());
        let client = client_of(&running);
        client.send(b"question").unwrap();
        let mut peer = tls::serve(net::accept(&listener), &pair);
        assert_eq!(peer.read_exactly(9), b"question\n");
        peer.send(b"whole\npart");
        if is_whole {
            peer.notify();
        }
        net::finish(&peer.socket);
        assert_eq!(receive(&client), b"whole");
        let ended = running.wait().expect_code(code);
        assert_eq!(ended.stderr.contains("close_notify"), code == 8, "{}", ended.stderr);
        // A line that may have been cut off is no message.
        client.set_nonblocking(true).unwrap();
        let mut rest = [0; 9];
        assert_eq!(client.recv(&mut rest).is_ok(), code == 0, "{options}");
    }
}

fn those_who_fail_leave_nothing_behind() {
    // It speaks no TLS.
    let plain = pktcat_line("listen -k --reply hello 127.0.0.1 0").spawn();
    let line = format!("forward -v --insecure udp:0 tls:127.0.0.1:{}", plain.port());
    let running = pktcat_line(&line).spawn();
    let port = running.port();
    let (client, _) = net::udp();
    client.connect(("127.0.0.1", port)).unwrap();
    let round = |first: usize, last: usize| {
        for number in first..=last {
            client.send(b"x").unwrap();
            running.wait_line(&format!("#{number} closed, 0 bytes up"));
        }
        settled("descriptors", || proc::descriptors(running.pid()).len() as u64)
    };
    let before = round(1, 10);
    assert_eq!(round(11, 60), before);
}

fn a_stream_of_tls_becomes_datagrams() {
    let (authority, pair) = here();
    let (running, server) = out_of_tls("-v -x", &pair);
    let mut client = client_in_tls(&running, &authority);
    client.send(b"\0\0\0\x02hi\0\0\0\0\0\0\0\x05th");
    assert_eq!(receive(&server), b"hi");
    let (empty, route) = receive_from(&server);
    assert_eq!(empty, b"");
    client.send(b"ere");
    client.notify();
    assert_eq!(receive(&server), b"there");
    // The client's end is none of TO's.
    eventually("the client's end", || {
        running.stderr_now().contains(" client closed\n").then_some(())
    });
    server.send_to(b"answer", route).unwrap();
    assert_eq!(client.read_to_end(), (b"\0\0\0\x06answer".to_vec(), true));
    running.wait_line("#1 closed, 7 bytes up, 6 bytes down, ");
    running.wait_line("tls with 127.0.0.1:");
    assert!(!running.stderr_now().contains("pktcat: "), "{}", running.stderr_now());
}

fn a_bare_fin_of_a_client_is_told_and_status_8() {
    let (authority, pair) = here();
    for (options, code) in [("--once", 8), ("--once --accept-fin", 0)] {
        let (running, server) = out_of_tls(&format!("--lines {options}"), &pair);
        let mut client = client_in_tls(&running, &authority);
        client.send(b"whole\npart");
        net::finish(&client.socket);
        assert_eq!(receive(&server), b"whole");
        let ended = running.wait().expect_code(code);
        assert_eq!(ended.stderr.contains("close_notify"), code == 8, "{}", ended.stderr);
        server.set_nonblocking(true).unwrap();
        assert_eq!(server.recv(&mut [0; 9]).is_ok(), code == 0, "{options}");
    }
    // It is told of unasked, and the forwarder goes on.
    let (running, server) = out_of_tls("", &pair);
    let mut client = client_in_tls(&running, &authority);
    client.send(b"\0\0\0\x02hi");
    assert_eq!(receive(&server), b"hi");
    net::finish(&client.socket);
    read_to_reset(&client.socket);
    let line = running.wait_line("pktcat: receive: ");
    assert!(line.contains("close_notify") && line.contains("for #1 "), "{line}");
    let mut client = client_in_tls(&running, &authority);
    client.send(b"\0\0\0\x05other");
    assert_eq!(receive(&server), b"other");
}

fn a_client_that_speaks_no_tls_is_told_of() {
    let (_authority, pair) = here();
    let (running, server) = out_of_tls("", &pair);
    let mut client = net::connect(running.port());
    let own = client.local_addr().unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let line = running.wait_line("pktcat: tls: ");
    assert!(line.contains(&format!("for #1 {own}")), "{line}");
    expect_nothing(&server);
    running.expect_running();
}

fn a_bare_fin_between_streams_is_told() {
    let (authority, pair) = here();
    let (listener, port) = net::listener();
    let running = pktcat(["forward", "--cert"])
        .arg(&pair.cert)
        .arg("--key")
        .arg(&pair.key)
        .args(["tls:127.0.0.1:0", &format!("127.0.0.1:{port}")])
        .spawn();
    let mut client = client_in_tls(&running, &authority);
    let server = net::accept(&listener);
    client.send(b"part");
    net::finish(&client.socket);
    assert_eq!(read_to_reset(&server), b"part");
    let line = running.wait_line("pktcat: receive: ");
    assert!(line.contains("close_notify") && line.contains("for #1 "), "{line}");
    // A reset that is passed on is no failure of ours.
    let client = client_in_tls(&running, &authority);
    let server = net::accept(&listener);
    net::reset(client.socket);
    read_to_reset(&server);
    let _other = client_in_tls(&running, &authority);
    net::accept(&listener);
    assert_eq!(running.stderr_now().matches("pktcat: ").count(), 1, "{}", running.stderr_now());
}

fn events_of_tls_name_the_client() {
    let (authority, pair) = here();
    let (running, listener) = into_tls("--once --json", &authority.root());
    let port = json_port(&running);
    let (client, _) = net::udp();
    client.send_to(b"x", ("127.0.0.1", port)).unwrap();
    let socket = net::accept(&listener);
    let (to, near) = net::ports(&socket);
    let mut peer = tls::serve(socket, &pair);
    assert_eq!(peer.read_exactly(5), b"\0\0\0\x01x");
    peer.notify();
    let text = running.wait().expect_code(0).stderr;
    let events = told(&text);
    let event = first(&events, "tls");
    assert_eq!(event["client"], 1, "{text}");
    assert_eq!((&event["peer_port"], &event["local_port"]), (&to.into(), &near.into()), "{text}");
    assert_eq!((&event["protocol"], &event["trust"]), (&"tcp".into(), &"verified".into()));
}

fn local_datagrams_cross_into_tls_and_back() {
    let (authority, pair) = here();
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let server = UnixDatagram::bind(place("to")).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let inner = pktcat(["forward", "-u", "--cert"])
        .arg(&pair.cert)
        .arg("--key")
        .arg(&pair.key)
        .args(["tls:127.0.0.1:0", &format!("unix:{}", place("to").display())])
        .spawn();
    let port = inner.port();
    let outer = pktcat(["forward", "-v", "-u", "--ca"])
        .arg(authority.root())
        .args([&format!("unix:{}", place("from").display()), &format!("tls:localhost:{port}")])
        .spawn();
    outer.wait_line("listening on ");
    expect_across(folder.path(), &server);
}

fn openssl_is_at_the_other_end() {
    let (authority, pair) = here();
    // A server that sends each line back in reverse.
    let server = program("openssl", ["s_server", "-rev", "-accept", "127.0.0.1:0", "-cert"])
        .arg(&pair.cert)
        .arg("-key")
        .arg(&pair.key)
        .stdin(Input::Pipe)
        .spawn();
    let told = server.wait_stdout(20);
    let text = eventually("its port", || {
        let all = String::from_utf8_lossy(&server.stdout_now()).into_owned();
        all.lines().find(|line| line.starts_with("ACCEPT") && line.contains(':')).map(str::to_owned)
    });
    assert!(!told.is_empty());
    let port: u16 = text.trim().rsplit(':').next().unwrap().parse().unwrap();
    let running = pktcat(["forward", "--lines", "--ca"])
        .arg(authority.root())
        .args(["udp:0", &format!("tls:localhost:{port}")])
        .spawn();
    let client = client_of(&running);
    for (line, reversed) in [("stressed", "desserts"), ("drawer", "reward")] {
        client.send(line.as_bytes()).unwrap();
        assert_eq!(receive(&client), reversed.as_bytes());
    }

    let (running, server) = out_of_tls("--lines", &pair);
    let mut client = program("openssl", ["s_client", "-quiet", "-verify_return_error", "-CAfile"])
        .arg(authority.root())
        .args(["-servername", "localhost", "-connect", &format!("127.0.0.1:{}", running.port())])
        .stdin(Input::Pipe)
        .spawn();
    client.send(b"question\n");
    let (came, route) = receive_from(&server);
    assert_eq!(came, b"question");
    server.send_to(b"answer", route).unwrap();
    assert_eq!(client.wait_stdout(7), b"answer\n");
}
