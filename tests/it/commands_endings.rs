//! `listen -- COMMAND`: what a program has sent arrives, whatever it has left unread.
use crate::tests;
use libtest_mimic::Trial;
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::util::{Running, net, pktcat};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        an_answer_arrives_though_the_request_was_not_read,
        a_long_answer_arrives_whole_though_the_request_was_not_read,
        a_client_that_goes_on_sending_is_read_to_its_end,
        a_process_that_the_command_leaves_behind_keeps_the_connection,
        a_process_left_behind_without_the_connection_does_not_hold_it,
        a_client_that_never_closes_is_let_go_of,
        a_client_that_never_closes_makes_room_for_another,
        a_stop_signal_is_heard_while_a_client_is_leaving,
        a_reset_before_the_end_is_no_success,
    ]
}

/// A listener that runs this script for each client.
fn listen(options: &str, script: &str) -> (Running, u16) {
    let words = format!("listen {options} 127.0.0.1 0 -- sh -c");
    let server = pktcat(words.split(' ').filter(|word| !word.is_empty())).arg(script).spawn();
    let port = server.port();
    (server, port)
}

/// A client whose request is one line that the script reads and more that it does not.
fn asking(port: u16) -> TcpStream {
    let mut client = net::connect(port);
    let mut request = b"line\n".to_vec();
    request.resize(1000, b'x');
    client.write_all(&request).unwrap();
    client
}

fn an_answer_arrives_though_the_request_was_not_read() {
    let (server, port) = listen("-k", "read -r line; printf answer");
    for _ in 0..50 {
        let client = asking(port);
        assert_eq!(net::read_to_fin(&client), b"answer");
    }
    server.expect_running();
}

fn a_long_answer_arrives_whole_though_the_request_was_not_read() {
    for options in ["", "-k"] {
        let (server, port) = listen(options, "read -r line; exec head -c 3000000 /dev/zero");
        let client = asking(port);
        assert_eq!(net::read_to_fin(&client).len(), 3_000_000, "{options}");
        drop(client);
        if options.is_empty() {
            server.wait().expect_code(0);
        }
    }
}

fn a_client_that_goes_on_sending_is_read_to_its_end() {
    let (server, port) = listen("", "read -r line; printf answer");
    let client = asking(port);
    let mut writer = client.try_clone().unwrap();
    let sending = thread::spawn(move || writer.write_all(&vec![b'x'; 20 << 20]));
    assert_eq!(net::read_to_fin(&client), b"answer");
    sending.join().unwrap().unwrap();
    drop(client);
    server.wait().expect_code(0);
}

/// The background process reads the second line of the client.
const LEAVES_A_PROCESS: &str =
    "exec 3<&0; read -r line; (exec 2>&-; read -r line <&3; echo \"then $line\") & echo first";

fn a_process_that_the_command_leaves_behind_keeps_the_connection() {
    for options in ["-v", "-v -k"] {
        let (server, port) = listen(options, LEAVES_A_PROCESS);
        let mut client = net::connect(port);
        client.write_all(b"one\n").unwrap();
        assert_eq!(net::read_exactly(&client, 6), b"first\n");
        server.wait_line("command ");
        if options == "-v" {
            server.wait().expect_code(0);
        }
        net::expect_silence(&client);
        client.write_all(b"two\n").unwrap();
        assert_eq!(net::read_to_fin(&client), b"then two\n");
    }
}

fn a_process_left_behind_without_the_connection_does_not_hold_it() {
    // It takes its time to close what it was born with.
    let script = "read -r line; { sleep 0.2; exec sleep 20 <&- >&- 2>&-; } & echo $!";
    let (server, port) = listen("-k", script);
    let client = asking(port);
    let text = String::from_utf8(net::read_to_fin(&client)).unwrap();
    let sleeping = nix::unistd::Pid::from_raw(text.trim().parse().unwrap());
    nix::sys::signal::kill(sleeping, Signal::SIGKILL).unwrap();
    drop(client);
    crate::util::eventually("the process to be reaped", || {
        nix::sys::signal::kill(sleeping, None).is_err().then_some(())
    });
    server.expect_running();
}

fn a_client_that_never_closes_is_let_go_of() {
    let (server, port) = listen("", "read -r line; printf answer");
    let client = asking(port);
    assert_eq!(net::read_to_fin(&client), b"answer");
    let begun = Instant::now();
    server.expect_running();
    server.wait().expect_code(0);
    let waited = begun.elapsed();
    assert!(waited > Duration::from_secs(4) && waited < Duration::from_secs(8), "{waited:?}");
    drop(client);
}

fn a_client_that_never_closes_makes_room_for_another() {
    let (server, port) = listen("-k --max-clients 1", "read -r line; printf answer");
    let first = asking(port);
    assert_eq!(net::read_to_fin(&first), b"answer");
    crate::util::eventually("the command to be reaped", || {
        let second = asking(port);
        let _ = second.set_read_timeout(Some(crate::util::PATIENCE));
        let mut text = String::new();
        std::io::Read::read_to_string(&mut &second, &mut text).ok();
        (text == "answer").then_some(())
    });
    let line = server.wait_line("pktcat: close: ");
    assert!(line.contains(&first.local_addr().unwrap().to_string()), "{line}");
    server.signal(Signal::SIGTERM);
    server.wait().expect_signal(Signal::SIGTERM);
}

fn a_stop_signal_is_heard_while_a_client_is_leaving() {
    let (server, port) = listen("-v", "read -r line; printf answer");
    let client = asking(port);
    assert_eq!(net::read_to_fin(&client), b"answer");
    server.wait_line("command ");
    server.signal(Signal::SIGTERM);
    server.wait().expect_signal(Signal::SIGTERM);
}

fn a_reset_before_the_end_is_no_success() {
    let (server, port) = listen("-v", "read -r line; exec head -c 100000 /dev/zero");
    let client = asking(port);
    server.wait_line("command ");
    net::reset(client);
    let ended = server.wait().expect_code(8);
    assert!(ended.stderr.contains("connection reset"), "{}", ended.stderr);
}
