//! `--proxy`: SOCKS5 and HTTP CONNECT through a proxy that does exactly what a test says, friendly or not.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use libtest_mimic::Trial;

use crate::tests;
use crate::util::data::{assert_same, random};
use crate::util::harness::Need;
use crate::util::tls::{Authority, Dates};
use crate::util::{Cmd, Input, each_at_once, eventually, net, pktcat, pktcat_line, proc, program};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_name_is_the_proxys_to_resolve,
        addresses_are_sent_as_such,
        a_password_is_given_where_it_is_asked_for,
        http_connects,
        what_the_target_says_first_is_not_lost,
        tls_runs_through_a_proxy,
        ncat_is_a_proxy needs [Need::Program("ncat")],
        the_targets_refusal_is_told_from_the_proxys,
        a_hostile_proxy_gets_an_error_in_time,
        a_proxy_that_never_ends_its_answer_costs_no_memory,
        a_refusal_is_tried_again,
        a_destination_that_was_not_reached_is_tried_again,
        what_does_not_go_with_a_proxy_is_a_usage_error,
    ]
}

/// A client through the proxy on this port.
fn through(kind: &str, proxy: u16, words: &str) -> Cmd {
    let url = format!("{kind}127.0.0.1:{proxy}");
    pktcat(["connect", "--proxy", &url]).args(words.split_whitespace())
}

/// Reads until the empty line that ends the head of a request.
fn read_head(mut stream: &TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// The reply of SOCKS5 for success, with a name as the address that it is bound to.
const CONNECTED: &[u8] = b"\x05\x00\x00\x03\x04here\x00\x50";

/// Connects the two until both have ended.
fn join(one: TcpStream, other: TcpStream) {
    let pass = |mut from: TcpStream, mut to: TcpStream| {
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        })
    };
    let up = pass(one.try_clone().unwrap(), other.try_clone().unwrap());
    pass(other, one).join().unwrap();
    up.join().unwrap();
}

fn a_name_is_the_proxys_to_resolve() {
    let (listener, port) = net::listener();
    let client = through("socks5://", port, "-v nowhere.invalid 80").stdin(Input::Pipe).spawn();
    let mut proxy = net::accept(&listener);
    assert_eq!(net::read_exactly(&proxy, 3), [5, 1, 0]);
    proxy.write_all(&[5, 0]).unwrap();
    assert_eq!(net::read_exactly(&proxy, 7 + 15), b"\x05\x01\x00\x03\x0fnowhere.invalid\x00\x50");
    // Byte by byte, as a network may deliver it.
    for byte in CONNECTED {
        proxy.write_all(&[*byte]).unwrap();
    }
    client.wait_line(&format!("the proxy 127.0.0.1:{port} has connected to nowhere.invalid:80"));
    drop(proxy);
    drop(client);
    // With -n nobody resolves it.
    let ended = through("socks5://", port, "-n nowhere.invalid 80").run();
    ended.expect_code(3);
}

fn addresses_are_sent_as_such() {
    for (host, wanted) in [
        ("192.0.2.1", [&[5, 1, 0, 1, 192, 0, 2, 1][..], &[0, 80]].concat()),
        ("2001:db8::1", [&[5, 1, 0, 4, 0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1, 0, 80]].concat()),
    ] {
        let (listener, port) = net::listener();
        let client =
            through("socks5://", port, &format!("-n {host} 80")).stdin(Input::Pipe).spawn();
        let mut proxy = net::accept(&listener);
        net::read_exactly(&proxy, 3);
        proxy.write_all(&[5, 0]).unwrap();
        assert_eq!(net::read_exactly(&proxy, wanted.len()), wanted);
        proxy.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        proxy.write_all(b"hello").unwrap();
        assert_eq!(client.wait_stdout(5), b"hello");
    }
    let (listener, port) = net::listener();
    let client = through("http://", port, "2001:db8::1 80").stdin(Input::Pipe).spawn();
    let proxy = net::accept(&listener);
    let head = read_head(&proxy);
    assert_eq!(head, "CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n");
    drop(client);
}

fn a_password_is_given_where_it_is_asked_for() {
    let (listener, port) = net::listener();
    let client = through("socks5://us%3aer:pass@", port, "a 80").stdin(Input::Pipe).spawn();
    let mut proxy = net::accept(&listener);
    assert_eq!(net::read_exactly(&proxy, 4), [5, 2, 0, 2]);
    proxy.write_all(&[5, 2]).unwrap();
    assert_eq!(net::read_exactly(&proxy, 12), b"\x01\x05us:er\x04pass");
    drop(client);

    let (listener, port) = net::listener();
    let client = through("socks5://user:pass@", port, "a 80").stdin(Input::Pipe).spawn();
    let mut proxy = net::accept(&listener);
    net::read_exactly(&proxy, 4);
    proxy.write_all(&[5, 2]).unwrap();
    net::read_exactly(&proxy, 11);
    proxy.write_all(&[1, 7]).unwrap();
    let ended = client.wait().expect_code(1);
    assert!(ended.stderr.contains("does not know this user and password"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("pass@"), "{}", ended.stderr);

    let (listener, port) = net::listener();
    let client = through("http://Aladdin:open%20sesame@", port, "a 80").stdin(Input::Pipe).spawn();
    let proxy = net::accept(&listener);
    let head = read_head(&proxy);
    // RFC 7617, 2.
    assert!(head.contains("Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), "{head}");
    drop(client);
}

fn http_connects() {
    for answer in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200\r\nVia: somebody\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nX: lines end as they like\n\n",
    ] {
        let (listener, port) = net::listener();
        let client = through("http://", port, "example.com 443")
            .stdin(Input::Bytes(b"question".to_vec()))
            .spawn();
        let mut proxy = net::accept(&listener);
        let head = read_head(&proxy);
        assert_eq!(head, "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n");
        proxy.write_all(answer.as_bytes()).unwrap();
        assert_eq!(net::read_to_fin(&proxy), b"question");
        proxy.write_all(b"answer").unwrap();
        drop(proxy);
        assert_eq!(client.wait().expect_code(0).stdout, b"answer", "{answer}");
    }
}

fn what_the_target_says_first_is_not_lost() {
    let bytes = random(3, 100_000);
    for (kind, answer) in
        [("socks5://", CONNECTED), ("http://", b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n".as_slice())]
    {
        let (listener, port) = net::listener();
        let client = through(kind, port, "-d example.com 80").spawn();
        let mut proxy = net::accept(&listener);
        if kind == "http://" {
            read_head(&proxy);
        } else {
            net::read_exactly(&proxy, 3);
            proxy.write_all(&[5, 0]).unwrap();
            net::read_exactly(&proxy, 18);
        }
        proxy.write_all(&[answer, &bytes].concat()).unwrap();
        drop(proxy);
        assert_same(&client.wait().expect_code(0).stdout, &bytes);
    }
}

fn tls_runs_through_a_proxy() {
    let authority = Authority::new("Root");
    let pair = authority.certify("target", &["target.example"], Dates::Now);
    for (kind, words) in [("socks5://", ""), ("http://", ""), ("http://", "-w 20s")] {
        let server = pktcat(["listen", "--tls", "127.0.0.1", "0", "--cert"])
            .arg(&pair.cert)
            .arg("--key")
            .arg(&pair.key)
            .args(["--send", "secret"])
            .spawn();
        let target = server.port();
        let (listener, port) = net::listener();
        let proxy = thread::spawn(move || {
            let mut client = net::accept(&listener);
            if kind == "http://" {
                read_head(&client);
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            } else {
                net::read_exactly(&client, 3);
                client.write_all(&[5, 0]).unwrap();
                net::read_exactly(&client, 7 + 14);
                client.write_all(CONNECTED).unwrap();
            }
            join(client, net::connect(target));
        });
        // The name is verified, though nobody here can resolve it.
        let client =
            through(kind, port, words).args(["--tls", "-d", "target.example", "443", "--ca"]);
        let ended = client.arg(authority.root()).run().expect_code(0);
        assert_eq!(ended.stdout, b"secret");
        server.wait().expect_code(0);
        proxy.join().unwrap();
    }
}

fn ncat_is_a_proxy() {
    let server = pktcat_line("listen -k --echo 127.0.0.1 0").spawn();
    let target = server.port();
    let port = net::free_port();
    let words = ["-l", "--proxy-type", "http", "127.0.0.1", &port.to_string()];
    let _proxy = program("ncat", words).stdin(Input::Null).spawn();
    eventually("ncat to listen", || net::is_listening(port).then_some(()));
    let bytes = random(1, 500_000);
    let client = through("http://", port, &format!("127.0.0.1 {target}"));
    let mut client = client.stdin(Input::Pipe).spawn();
    client.send(&bytes);
    assert_same(&client.wait_stdout(bytes.len()), &bytes);
    // It ends both directions at the first FIN.
    client.close_stdin();
    client.wait().expect_code(0);
}

fn the_targets_refusal_is_told_from_the_proxys() {
    let socks = |code: u8| [&[5, code, 0, 1][..], &[0; 6]].concat();
    let cases: Vec<(&str, Vec<u8>, i32, &str)> = vec![
        ("socks5://", socks(5), 4, "connect: target.example:80 through the proxy"),
        ("socks5://", socks(3), 7, "network unreachable"),
        ("socks5://", socks(4), 7, "host unreachable"),
        ("socks5://", socks(6), 5, "TTL expired"),
        ("socks5://", socks(1), 1, "proxy: the proxy 127.0.0.1:"),
        ("socks5://", socks(2), 1, "not allowed by ruleset"),
        ("socks5://", socks(99), 1, "reply 99"),
        ("http://", b"HTTP/1.1 407 Who are you\r\n\r\n".to_vec(), 1, "407 Who are you"),
        ("http://", b"HTTP/1.1 403 Forbidden\r\n\r\n".to_vec(), 1, "proxy: the proxy 127.0.0.1:"),
        ("http://", b"HTTP/1.1 502 Bad Gateway\r\n\r\n".to_vec(), 1, "502 Bad Gateway"),
        ("http://", b"HTTP/1.1 503 Busy\r\n\r\n".to_vec(), 1, "not reached"),
        ("http://", b"HTTP/1.1 504 Gateway Timeout\r\n\r\n".to_vec(), 5, "timed out"),
        (
            "http://",
            b"HTTP/1.1 502 No\r\nProxy-Status: p; error=connection_timeout\r\n\r\n".to_vec(),
            5,
            "connect: target.example:80 through the proxy",
        ),
        (
            "http://",
            b"HTTP/1.1 503 No\r\nX-Squid-Error: ERR_CONNECT_FAIL 110\r\n\r\n".to_vec(),
            5,
            "ERR_CONNECT_FAIL 110",
        ),
        (
            "http://",
            b"HTTP/1.1 502 No\r\nProxy-Status: p; error=connection_refused\r\n\r\n".to_vec(),
            4,
            "connect: target.example:80 through the proxy",
        ),
        (
            "http://",
            b"HTTP/1.1 502 No\r\nProxy-Status: p; error=destination_ip_unroutable\r\n\r\n".to_vec(),
            7,
            "destination_ip_unroutable",
        ),
        (
            "http://",
            b"HTTP/1.1 503 Service Unavailable\r\nX-Squid-Error: ERR_CONNECT_FAIL 111\r\n\r\n"
                .to_vec(),
            4,
            "ERR_CONNECT_FAIL 111",
        ),
    ];
    each_at_once(cases, |(kind, answer, code, words)| {
        let (listener, port) = net::listener();
        let client = through(kind, port, "-d target.example 80").spawn();
        let mut proxy = net::accept(&listener);
        if kind == "http://" {
            read_head(&proxy);
        } else {
            net::read_exactly(&proxy, 3);
            proxy.write_all(&[5, 0]).unwrap();
            net::read_exactly(&proxy, 7 + 14);
        }
        proxy.write_all(&answer).unwrap();
        let ended = client.wait().expect_code(code);
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    });
    // The proxy itself is not there.
    let (_kept, port) = net::refusing_port();
    let ended = through("socks5://", port, "target.example 80").run().expect_code(4);
    assert!(ended.stderr.contains(&format!("connect: 127.0.0.1:{port} (tcp)")), "{}", ended.stderr);
    assert!(ended.stderr.contains("the proxy"), "{}", ended.stderr);
}

fn a_hostile_proxy_gets_an_error_in_time() {
    let silent = |kind: &'static str| (kind, None, 5, "has not connected to target.example:80");
    let cases: Vec<(&str, Option<&[u8]>, i32, &str)> = vec![
        silent("socks5://"),
        silent("http://"),
        ("socks5://", Some(b"HTTP/1.1 400 Bad\r\n"), 1, "not SOCKS5"),
        ("socks5://", Some(b"\x05\x00\x04\x01"), 1, "not SOCKS5"),
        ("socks5://", Some(b"\x05\x02"), 1, "was not offered"),
        ("socks5://", Some(b"\x05\xff"), 1, "wants to know who asks"),
        ("socks5://", Some(b"\x05\x00\x05\x00\x00\x09\x00"), 1, "type of address 9"),
        ("socks5://", Some(b"\x05"), 5, "has not connected"),
        ("http://", Some(b"SSH-2.0-OpenSSH_9.2p1\r\n"), 1, "not HTTP"),
        ("http://", Some(b"HTTP/1.1 hello\r\n\r\n"), 1, "not HTTP"),
        ("http://", Some(b"HTTP/1.1 200 OK\r\nno end"), 5, "has not connected"),
    ];
    each_at_once(cases, |(kind, answer, code, words)| {
        let (listener, port) = net::listener();
        let limit = if code == 5 { "-w 400ms" } else { "" };
        let client = through(kind, port, &format!("{limit} target.example 80")).spawn();
        let mut proxy = net::accept(&listener);
        if let Some(answer) = answer {
            proxy.write_all(answer).unwrap();
        }
        let ended = client.wait().expect_code(code);
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    });
    // One that leaves, or resets.
    for kind in ["socks5://", "http://"] {
        let (listener, port) = net::listener();
        let client = through(kind, port, "target.example 80").spawn();
        let mut proxy = net::accept(&listener);
        proxy.write_all(if kind == "http://" { b"HTTP" } else { b"\x05\x00\x05\x00" }).unwrap();
        net::finish(&proxy);
        let ended = client.wait().expect_code(8);
        assert!(ended.stderr.contains("before its answer was whole"), "{}", ended.stderr);
        let (listener, port) = net::listener();
        let client = through(kind, port, "target.example 80").spawn();
        net::reset(net::accept(&listener));
        client.wait().expect_code(8);
    }
}

fn a_proxy_that_never_ends_its_answer_costs_no_memory() {
    let (listener, port) = net::listener();
    let client = through("http://", port, "-w 20s target.example 80").spawn();
    let pid = client.pid();
    let mut proxy = net::accept(&listener);
    let flood = thread::spawn(move || {
        let _ = proxy.write_all(b"HTTP/1.1 200 OK\r\n");
        while proxy.write_all(&b"X: y\r\n".repeat(1000)).is_ok() {}
    });
    let peak = eventually("the client to have been at work", || {
        client.ended().is_some().then_some(0).or_else(|| Some(proc::memory_kib(pid, "VmHWM")))
    });
    let ended = client.wait().expect_code(1);
    assert!(
        ended.stderr.contains("header fields") || ended.stderr.contains("head of more"),
        "{}",
        ended.stderr
    );
    assert!(peak < 64 * 1024, "{peak} KiB");
    flood.join().unwrap();
    // Interim answers without end are no way around that.
    let (listener, port) = net::listener();
    let client = through("http://", port, "-w 20s target.example 80").spawn();
    let mut proxy = net::accept(&listener);
    let flood = thread::spawn(move || {
        while proxy.write_all(&b"HTTP/1.1 102 Processing\r\n\r\n".repeat(100)).is_ok() {}
    });
    let ended = client.wait().expect_code(1);
    assert!(ended.stderr.contains("head of more"), "{}", ended.stderr);
    flood.join().unwrap();
}

fn a_refusal_is_tried_again() {
    let (listener, port) = net::listener();
    let client =
        through("http://", port, "-d --retry 1 --retry-delay 1ms target.example 80").spawn();
    let mut proxy = net::accept(&listener);
    read_head(&proxy);
    proxy
        .write_all(b"HTTP/1.1 502 No\r\nProxy-Status: p; error=connection_refused\r\n\r\n")
        .unwrap();
    let mut proxy = net::accept(&listener);
    read_head(&proxy);
    proxy.write_all(b"HTTP/1.1 200 OK\r\n\r\nat last").unwrap();
    drop(proxy);
    assert_eq!(client.wait().expect_code(0).stdout, b"at last");
}

/// What the proxy does not say may be anything that `--retry` is for.
fn a_destination_that_was_not_reached_is_tried_again() {
    let (listener, port) = net::listener();
    let line = "-d --retry 3 --retry-delay 1ms target.example 80";
    let client = through("http://", port, line).spawn();
    for answer in ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"] {
        let mut proxy = net::accept(&listener);
        read_head(&proxy);
        proxy.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).unwrap();
    }
    let mut proxy = net::accept(&listener);
    read_head(&proxy);
    proxy.write_all(b"HTTP/1.1 200 OK\r\n\r\nat last").unwrap();
    drop(proxy);
    assert_eq!(client.wait().expect_code(0).stdout, b"at last");
    // What the proxy itself refuses stays refused.
    let client = through("http://", port, line).spawn();
    let mut proxy = net::accept(&listener);
    read_head(&proxy);
    proxy.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").unwrap();
    client.wait().expect_code(1);
}

fn what_does_not_go_with_a_proxy_is_a_usage_error() {
    for (line, reason) in [
        ("connect -u --proxy socks5://127.0.0.1:1 a 9", "TCP only"),
        ("connect --proxy socks5://127.0.0.1:1 -U /tmp/nobody", "--unix"),
        ("connect --proxy 127.0.0.1:1080 a 9", "socks5://HOST:PORT"),
        ("connect --proxy https://127.0.0.1:1 a 9", "TLS to the proxy"),
        ("connect --proxy socks4://127.0.0.1:1 a 9", "neither"),
        ("connect --proxy socks5h://127.0.0.1:1 a 9", "socks5://"),
        ("connect --proxy socks5://127.0.0.1 a 9", "HOST:PORT"),
        ("connect --proxy socks5://127.0.0.1:0 a 9", "port 0"),
        ("connect --proxy socks5://127.0.0.1:1 fe80::1%lo 9", "interface"),
    ] {
        let ended = pktcat_line(line).run().expect_code(2);
        assert!(ended.stderr.contains(reason), "{line}: {}", ended.stderr);
    }
    let ended = pktcat_line("connect -n --proxy socks5://proxy.invalid:1 127.0.0.1 9").run();
    ended.expect_code(3);
}
