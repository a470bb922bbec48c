//! A forwarder with TLS on either side.

use std::io::Write;

use libtest_mimic::Trial;

use super::{forwarder, read_to_reset};
use crate::tests;
use crate::util::data::{assert_same, random};
use crate::util::{Input, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        tls_ends_here_and_begins_here,
        a_server_that_is_not_trusted_resets_the_client,
        a_client_without_tls_is_one_clients_failure,
        options_of_tls_need_the_side_they_are_for,
    ]
}

fn tls_ends_here_and_begins_here() {
    let server = pktcat_line("listen -k --echo --tls 127.0.0.1 0").spawn();
    let inner =
        pktcat_line(&format!("forward -x --insecure 0 tls:127.0.0.1:{}", server.port())).spawn();
    let outer = pktcat_line(&format!("forward tls:127.0.0.1:0 127.0.0.1:{}", inner.port())).spawn();
    outer.wait_line("certificate for this run: SHA-256 ");
    let sent = random(1, 2_000_000);
    let client = pktcat_line(&format!("connect --tls --insecure 127.0.0.1 {}", outer.port()))
        .stdin(Input::Bytes(sent.clone()))
        .spawn();
    let ended = client.wait().expect_code(0);
    assert_same(&ended.stdout, &sent);
    // What passes between the two is plain.
    inner.wait_line("> ");
}

fn a_server_that_is_not_trusted_resets_the_client() {
    let server = pktcat_line("listen -k --echo --tls 127.0.0.1 0").spawn();
    let line = format!("forward --once 0 tls:127.0.0.1:{}", server.port());
    let running = pktcat_line(&line).spawn();
    let client = net::connect(running.port());
    assert_eq!(read_to_reset(&client), b"");
    let ended = running.wait().expect_code(9);
    assert_eq!(ended.stderr.matches("pktcat: ").count(), 1, "{}", ended.stderr);
}

fn a_client_without_tls_is_one_clients_failure() {
    let (listener, port) = net::listener();
    let running = pktcat_line(&format!("forward tls:127.0.0.1:0 127.0.0.1:{port}")).spawn();
    let mut client = net::connect(running.port());
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    running.wait_line("pktcat: ");
    running.expect_running();
    drop(listener);
}

fn options_of_tls_need_the_side_they_are_for() {
    let (_running, _listener) = forwarder("");
    for options in [
        "--insecure 0 127.0.0.1:9",
        "--cert /nowhere --key /nowhere 0 tls:127.0.0.1:9",
        "--client-ca /nowhere 0 127.0.0.1:9",
        "--alpn h2 tls:127.0.0.1:0 127.0.0.1:9",
        "udp:0 tls:127.0.0.1:9",
        "--proxy socks5://127.0.0.1:1 udp:0 127.0.0.1:9",
    ] {
        let ended = pktcat_line(&format!("forward {options}")).run().expect_code(2);
        assert_eq!(ended.stderr.lines().count(), 1, "{options}: {}", ended.stderr);
    }
}
