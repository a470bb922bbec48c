//! A forwarder from datagrams to a stream through a proxy.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use libtest_mimic::Trial;

use super::datagrams::client_of;
use super::secured_crossings::here;
use crate::tests;
use crate::util::udp::receive;
use crate::util::{net, pktcat, pktcat_line, tls};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        datagrams_go_through_a_proxy,
        datagrams_go_into_tls_through_a_proxy,
        a_proxy_leads_no_datagrams,
    ]
}

/// The dialogue of a SOCKS5 proxy that is asked for this name and port 80, up to its answer.
fn socks(listener: &TcpListener, name: &str, answer: u8) -> TcpStream {
    let mut proxy = net::accept(listener);
    assert_eq!(net::read_exactly(&proxy, 3), [5, 1, 0]);
    proxy.write_all(&[5, 0]).unwrap();
    let asked = net::read_exactly(&proxy, 7 + name.len());
    assert_eq!(&asked[5..5 + name.len()], name.as_bytes());
    proxy.write_all(&[5, answer, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
    proxy
}

fn datagrams_go_through_a_proxy() {
    let (listener, port) = net::listener();
    let line = format!("forward -v --proxy socks5://127.0.0.1:{port} udp:0 nowhere.invalid:80");
    let running = pktcat_line(&line).spawn();
    for _ in 0..2 {
        let client = client_of(&running);
        client.send(b"question").unwrap();
        client.send(b"").unwrap();
        let mut proxy = socks(&listener, "nowhere.invalid", 0);
        assert_eq!(net::read_exactly(&proxy, 16), b"\0\0\0\x08question\0\0\0\0");
        proxy.write_all(b"\0\0\0\x06answer").unwrap();
        assert_eq!(receive(&client), b"answer");
    }
    running.wait_line(&format!("the proxy 127.0.0.1:{port} has connected to nowhere.invalid:80"));
    // What the proxy refuses is told, and the forwarder goes on.
    let client = client_of(&running);
    client.send(b"question").unwrap();
    socks(&listener, "nowhere.invalid", 5);
    let line = running.wait_line("pktcat: ");
    assert!(line.contains("refused") && line.contains("for #3 "), "{line}");
    client.send(b"again").unwrap();
    let proxy = socks(&listener, "nowhere.invalid", 0);
    assert_eq!(net::read_exactly(&proxy, 9), b"\0\0\0\x05again");
}

fn datagrams_go_into_tls_through_a_proxy() {
    let (authority, pair) = here();
    let (listener, port) = net::listener();
    let running = pktcat(["forward", "--lines", "--ca"])
        .arg(authority.root())
        .args(["--proxy", &format!("http://127.0.0.1:{port}"), "udp:0", "tls:localhost:443"])
        .spawn();
    let client = client_of(&running);
    client.send(b"question").unwrap();
    let mut proxy = net::accept(&listener);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(net::read_exactly(&proxy, 1));
    }
    assert!(head.starts_with(b"CONNECT localhost:443 HTTP/1.1\r\n"));
    proxy.write_all(b"HTTP/1.1 200 fine\r\n\r\n").unwrap();
    let mut peer = tls::serve(proxy, &pair);
    assert_eq!(peer.read_exactly(9), b"question\n");
    peer.send(b"answer\n");
    assert_eq!(receive(&client), b"answer");
}

fn a_proxy_leads_no_datagrams() {
    for words in ["0 udp:127.0.0.1:9", "udp:0 udp:127.0.0.1:9", "tls:0 udp:127.0.0.1:9"] {
        let line = format!("forward --proxy socks5://127.0.0.1:1 {words}");
        let ended = pktcat_line(&line).run().expect_code(2);
        assert_eq!(ended.stderr, "pktcat: usage: --proxy: connects over TCP only\n");
    }
}
