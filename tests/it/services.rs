//! A listener that answers by itself, over TCP: echo, discard, chargen, chat, and who may come in.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread;

use libtest_mimic::Trial;

use crate::tests;
use crate::util::data::{check_random, write_random};
use crate::util::harness::Need;
use crate::util::{Input, Running, find_program, net, pktcat, pktcat_line, proc, program, udp};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        echo_gives_everything_back_and_then_the_fin,
        echo_without_keep_open_is_done_with_its_client,
        echo_reads_no_more_than_is_taken_back,
        discard_takes_all_and_says_nothing,
        chargen_sends_lines_that_shift_by_one,
        chargen_keeps_nothing_for_a_client_that_does_not_read,
        the_beginners_client_a_thousand_times needs [Need::Program("python3")],
        both_protocols_on_one_port_number,
        chat_goes_to_all_others,
        chat_outlives_stdin,
        chat_goes_on_for_whoever_has_nothing_more_to_say,
        deny_and_allow_shut_clients_out,
        names_are_looked_up_for_the_gate,
        a_block_of_mapped_addresses_is_one_of_ipv4 needs [Need::Ipv6],
        characters_do_not_keep_a_counted_run_alive,
        the_gate_knows_ipv6 needs [Need::Ipv6],
        one_client_is_the_first_that_may_come_in,
        words_that_make_no_sense_are_usage_errors,
    ]
}

pub(crate) fn listen(options: &str) -> (Running, u16) {
    let server = pktcat_line(&format!("listen {options} 127.0.0.1 0")).spawn();
    let port = server.port();
    (server, port)
}

fn echo_gives_everything_back_and_then_the_fin() {
    const SIZE: u64 = 8 << 20;
    let (server, port) = listen("-k --echo");
    let clients: Vec<_> = (0..4)
        .map(|seed| {
            let client = net::connect(port);
            let back = client.try_clone().unwrap();
            thread::spawn(move || {
                let writer = thread::spawn(move || {
                    assert_eq!(write_random(&client, seed, SIZE), SIZE);
                    net::finish(&client);
                });
                assert_eq!(check_random(back, seed), SIZE);
                writer.join().unwrap();
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(server.stdout_now(), b"");
    server.expect_running();
}

fn echo_without_keep_open_is_done_with_its_client() {
    let (server, port) = listen("--echo");
    let mut client = net::connect(port);
    client.write_all(b"hello").unwrap();
    net::finish(&client);
    assert_eq!(net::read_to_fin(&client), b"hello");
    assert_eq!(server.wait().expect_code(0).stdout, b"");
}

fn echo_reads_no_more_than_is_taken_back() {
    let (server, port) = listen("-k --echo");
    let mut greedy = net::connect(port);
    greedy.set_nonblocking(true).unwrap();
    let taken = crate::util::data::write_until_stalled(&mut greedy, 3);
    // Another one is served meanwhile, and what is there comes back.
    let mut other = net::connect(port);
    other.write_all(b"and I?").unwrap();
    assert_eq!(net::read_exactly(&other, 6), b"and I?");
    greedy.set_nonblocking(false).unwrap();
    net::finish(&greedy);
    assert_eq!(check_random(greedy, 3), taken);
    let peak = proc::memory_kib(server.pid(), "VmHWM");
    assert!(peak < 20 << 10, "{peak} KiB");
}

fn discard_takes_all_and_says_nothing() {
    let (server, port) = listen("-k -v --discard");
    let client = net::connect(port);
    assert_eq!(write_random(&client, 1, 4 << 20), 4 << 20);
    net::expect_silence(&client);
    net::finish(&client);
    assert_eq!(net::read_to_fin(&client), b"");
    assert_eq!(server.stdout_now(), b"");
    server.signal(nix::sys::signal::Signal::SIGTERM);
    let stderr = server.wait().stderr;
    assert!(stderr.contains("received 4194304 bytes"), "{stderr}");
}

fn chargen_sends_lines_that_shift_by_one() {
    let (server, port) = listen("-k --chargen");
    let mut client = net::connect(port);
    client.write_all(b"whatever it is, it is ignored").unwrap();
    // A half-closed client is a client (RFC 864: until it closes the connection).
    net::finish(&client);
    let text = net::read_exactly(&client, 2_000 * 74);
    let printable: Vec<u8> = (b' '..=b'~').collect();
    for (number, line) in text.chunks(74).enumerate() {
        let wanted: Vec<u8> = (0..72).map(|at| printable[(number + at) % 95]).collect();
        assert_eq!(line, [&wanted[..], b"\r\n"].concat(), "line {number}");
    }
    drop(client);
    assert!(net::read_exactly(&net::connect(port), 5).starts_with(b" !\"#$"));
    assert_eq!(server.stdout_now(), b"");
}

fn chargen_keeps_nothing_for_a_client_that_does_not_read() {
    let (server, port) = listen("-k --chargen");
    let _deaf: Vec<_> = (0..20).map(|_| net::connect(port)).collect();
    net::read_exactly(&net::connect(port), 1 << 20);
    server.expect_running();
    let peak = proc::memory_kib(server.pid(), "VmHWM");
    assert!(peak < 16 << 10, "{peak} KiB");
}

/// Connects, speaks, hears and goes a thousand times, as every introduction to sockets does it once;
/// prints the addresses it had.
const BEGINNERS: &str = r#"
import socket, sys

for _ in range(1000):
    client = socket.socket(socket.AF_INET, getattr(socket, sys.argv[2]))
    client.settimeout(30)
    client.connect(("127.0.0.1", int(sys.argv[1])))
    client.sendall(b"Hello, Server!")
    response = client.recv(4096)
    assert response == b"Hello, Client!", response
    print("%s:%d" % client.getsockname())
    client.close()
"#;

fn the_beginners_client_a_thousand_times() {
    for (options, kind, word) in [("-k", "SOCK_STREAM", "accepted"), ("-u", "SOCK_DGRAM", "peer")] {
        let words = ["listen", options, "-v", "--reply", "Hello, Client!", "127.0.0.1", "0"];
        let server = pktcat(words).spawn();
        let port = server.port().to_string();
        let python = find_program("python3").unwrap();
        let client = program(python, ["-c", BEGINNERS, &port, kind]).run().expect_code(0);
        let came: Vec<_> = client.stdout_text().lines().map(str::to_owned).collect();
        assert_eq!(came.len(), 1000);
        assert_eq!(server.wait_stdout(14_000), b"Hello, Server!".repeat(1000));
        // A port number may have come twice; a UDP peer is named when it is new.
        let came: BTreeSet<_> = came.into_iter().collect();
        let stderr = server.stderr_now();
        let named = stderr.lines().filter(|line| line.starts_with(word));
        let named: BTreeSet<_> =
            named.map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
        assert_eq!(named, came);
        server.expect_running();
    }
}

fn both_protocols_on_one_port_number() {
    let (server, port) = listen("-t -u -k --echo");
    let lines = server.wait_lines("listening on ", 2);
    assert_eq!(lines[0], format!("listening on 127.0.0.1:{port} (tcp)"));
    assert_eq!(lines[1], format!("listening on 127.0.0.1:{port} (udp)"));
    let mut stream = net::connect(port);
    let peer = udp::peer_of(&server);
    for text in [&b"one"[..], b"two"] {
        peer.send(text).unwrap();
        stream.write_all(text).unwrap();
        assert_eq!(udp::receive(&peer), text);
        assert_eq!(net::read_exactly(&stream, 3), text);
    }
}

fn chat_goes_to_all_others() {
    let server = pktcat_line("listen -v --chat 127.0.0.1 0").stdin(Input::Pipe).spawn();
    chat(server, Some(b"from stdin\n"));
}

fn chat_outlives_stdin() {
    let server = pktcat_line("listen -v --chat 127.0.0.1 0").stdin(Input::Bytes(vec![])).spawn();
    chat(server, None);
    chat(pktcat_line("listen -v --chat 127.0.0.1 0").spawn(), None);
}

fn chat_goes_on_for_whoever_has_nothing_more_to_say() {
    let mut server = pktcat_line("listen -v --chat 127.0.0.1 0").stdin(Input::Pipe).spawn();
    let port = server.port();
    let (listening, mut talking) = (net::connect(port), net::connect(port));
    server.wait_lines("accepted ", 2);
    net::finish(&listening);
    talking.write_all(b"from the other").unwrap();
    assert_eq!(net::read_exactly(&listening, 14), b"from the other");
    server.send(b"from stdin");
    for client in [&listening, &talking] {
        assert_eq!(net::read_exactly(client, 10), b"from stdin");
    }
    // With stdin's end there is nothing more to wait for.
    server.close_stdin();
    assert_eq!(net::read_to_fin(&listening), b"");
    net::expect_silence(&talking);
}

fn chat(mut server: Running, from_stdin: Option<&[u8]>) {
    let port = server.port();
    let mut clients: Vec<_> = (0..3).map(|_| net::connect(port)).collect();
    server.wait_lines("accepted ", 3);
    let mut written = 0;
    for at in 0..3 {
        let text = format!("from {at}\n");
        clients[at].write_all(text.as_bytes()).unwrap();
        written += text.len();
        for (_, other) in clients.iter().enumerate().filter(|(other, _)| *other != at) {
            assert_eq!(net::read_exactly(other, text.len()), text.as_bytes());
        }
    }
    assert_eq!(server.wait_stdout(written), b"from 0\nfrom 1\nfrom 2\n");
    if let Some(text) = from_stdin {
        server.send(text);
        clients.iter().for_each(|client| assert_eq!(net::read_exactly(client, text.len()), text));
    }
    // One leaves, the others go on.
    drop(clients.pop());
    clients[0].write_all(b"bye").unwrap();
    assert_eq!(net::read_exactly(&clients[1], 3), b"bye");
    net::expect_silence(&clients[0]);
}

/// A connection from this address of loopback.
fn from(source: &str, port: u16) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&format!("{source}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    socket.set_read_timeout(Some(crate::util::PATIENCE)).unwrap();
    socket.into()
}

/// Whether a client from this address is served by an echo.
fn is_let_in(source: &str, port: u16) -> bool {
    let mut client = from(source, port);
    // One that is turned away may be gone before it has said anything.
    client.write_all(b"x").is_ok() && matches!(client.read(&mut [0]), Ok(1))
}

fn deny_and_allow_shut_clients_out() {
    let (server, port) =
        listen("-k --echo --allow 127.0.0.0/29 --allow 127.0.1.1 --deny 127.0.0.4/31");
    let table = [(1, true), (4, false), (5, false), (6, true), (8, false)];
    for (last, wanted) in table {
        assert_eq!(is_let_in(&format!("127.0.0.{last}"), port), wanted, "127.0.0.{last}");
    }
    assert!(is_let_in("127.0.1.1", port) && !is_let_in("127.0.1.2", port));
    let told = server.wait_lines("pktcat: accept: ", 4);
    for (line, words) in told.iter().zip([
        ["127.0.0.4:", "--deny"],
        ["127.0.0.5:", "--deny"],
        ["127.0.0.8:", "--allow"],
        ["127.0.1.2:", "--allow"],
    ]) {
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
}

fn names_are_looked_up_for_the_gate() {
    let (_server, port) = listen("-k --echo --deny localhost");
    assert!(!is_let_in("127.0.0.1", port) && is_let_in("127.0.0.2", port));
    let line = "listen -k --echo --allow no-such-name.invalid 127.0.0.1 0";
    pktcat_line(line).run().expect_code(3);
}

fn the_gate_knows_ipv6() {
    // One socket hears both families, and a block is of one of them.
    let server = pktcat_line("listen -k --echo --allow ::1/128 0").spawn();
    let port = server.port();
    let mut six = net::connect_to((Ipv6Addr::LOCALHOST, port).into());
    six.write_all(b"x").unwrap();
    assert_eq!(net::read_exactly(&six, 1), b"x");
    assert!(!is_let_in("127.0.0.1", port));
    // IPv4 through the same socket is IPv4 to the gate.
    let server = pktcat_line("listen -u -v --echo --allow 127.0.0.0/8 0").spawn();
    let (four, _) = net::udp();
    four.send_to(b"four", ("127.0.0.1", server.port())).unwrap();
    assert_eq!(udp::receive(&four), b"four");
    let six = UdpSocket::bind("[::1]:0").unwrap();
    six.send_to(b"six", ("::1", server.port())).unwrap();
    udp::expect_nothing(&six);
}

fn one_client_is_the_first_that_may_come_in() {
    let (server, port) = listen("--deny 127.0.0.2");
    assert!(!is_let_in("127.0.0.2", port));
    from("127.0.0.3", port).write_all(b"me").unwrap();
    assert_eq!(server.wait().expect_code(0).stdout_text(), "me");
}

fn words_that_make_no_sense_are_usage_errors() {
    for options in [
        "-t -u --echo",
        "--echo --discard",
        "-k --reply-hex 0g",
        "-k --allow 127.0.0.1/33",
        "-u --chat",
        "-u --max-clients 3",
        "-k --tag",
        "-k --tag -O frames",
        "-k --max-clients 0",
        "--count 3 -k",
        "--timeout 0 --echo --send x",
        "--timeout 0 -k --reply r --send-hex 78",
        "--timeout 0 -u --chargen --send x",
        "--timeout 0 --chargen --rate 9k",
        "--timeout 0 --echo --interval 1s",
    ] {
        let ended = pktcat_line(&format!("listen {options} 127.0.0.1 0")).run().expect_code(2);
        assert!(ended.stderr.starts_with("pktcat: "), "{options}: {}", ended.stderr);
    }
}

fn a_block_of_mapped_addresses_is_one_of_ipv4() {
    for block in ["::ffff:127.0.0.0/104", "::ffff:0:0/96", "::ffff:127.0.0.1"] {
        let server = pktcat_line(&format!("listen -k --reply in --deny {block} 0")).spawn();
        let mut four = net::connect(server.port());
        // It is turned away: no answer, and an end or a reset.
        let _ = four.write_all(b"x");
        let mut got = Vec::new();
        let _ = four.read_to_end(&mut got);
        assert_eq!(got, b"", "{block}");
        let mut six = net::connect_to((Ipv6Addr::LOCALHOST, server.port()).into());
        six.write_all(b"x").unwrap();
        assert_eq!(net::read_to_fin(&six), b"in", "{block}");
    }
}

fn characters_do_not_keep_a_counted_run_alive() {
    let (server, port) = listen("-k --chargen -O lines --count 1");
    let mut client = net::connect(port);
    let mut reader = client.try_clone().unwrap();
    let reading = thread::spawn(move || {
        let mut room = vec![0; 65536];
        while matches!(reader.read(&mut room), Ok(1..)) {}
    });
    client.write_all(b"enough\n").unwrap();
    server.wait().expect_code(0);
    reading.join().unwrap();
}
