//! A forwarder with TLS on either side.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use super::{forwarder, read_to_reset};
use crate::tests;
use crate::util::data::{assert_same, random, settled};
use crate::util::harness::Need;
use crate::util::tls::{Authority, Dates};
use crate::util::{Input, Running, eventually, net, pktcat, pktcat_line, proc, program};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        tls_ends_here_and_begins_here,
        a_server_that_is_not_trusted_resets_the_client,
        a_client_without_tls_is_one_clients_failure,
        a_client_that_leaves_while_the_way_opens_leaves_nothing_open,
        curl_and_openssl_reach_a_plain_server_through_it needs [
            Need::Program("curl"), Need::Program("openssl")],
        curl_reaches_a_tls_server_through_it_and_the_dump_shows_all needs [Need::Program("curl")],
        tshark_decrypts_with_the_secrets_of_the_forwarder needs [
            Need::Root, Need::Program("tcpdump"), Need::Program("tshark")],
        many_who_fail_at_tls_leave_nothing_behind,
        each_client_goes_through_the_proxy,
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
    let own = client.local_addr().unwrap();
    let line = running.wait_line("pktcat: tls: ");
    assert!(line.contains(&format!("for #1 {own}")), "{line}");
    // Others are served.
    let other = pktcat_line(&format!("connect --tls --insecure 127.0.0.1 {}", running.port()))
        .stdin(Input::Bytes(b"hello".to_vec()))
        .spawn();
    let server = net::accept(&listener);
    assert_eq!(net::read_to_fin(&server), b"hello");
    drop(server);
    other.wait().expect_code(0);
}

fn a_client_that_leaves_while_the_way_opens_leaves_nothing_open() {
    // A server, or a proxy, that takes what begins the way and never answers.
    let (listener, port) = net::listener();
    for (options, status) in [
        (format!("-v --insecure 0 tls:127.0.0.1:{port}"), None),
        (format!("-v --proxy socks5://127.0.0.1:{port} 0 127.0.0.1:9"), None),
        (format!("-v --once --insecure 0 tls:127.0.0.1:{port}"), Some(8)),
    ] {
        let running = pktcat_line(&format!("forward {options}")).spawn();
        let client = net::connect(running.port());
        let mut server = net::accept(&listener);
        server.peek(&mut [0; 1]).unwrap();
        net::reset(client);
        // The end comes long before the handshake has to be over.
        let begun = Instant::now();
        drop(server.read_to_end(&mut Vec::new()));
        assert!(begun.elapsed() < Duration::from_secs(5), "{options}");
        match status {
            None => drop(running.wait_line("#1 send: 127.0.0.1:")),
            Some(status) => drop(running.wait().expect_code(status)),
        }
    }
}

fn many_who_fail_at_tls_leave_nothing_behind() {
    // Neither the clients nor the server speak it.
    let plain = pktcat_line("listen -k --reply hello 127.0.0.1 0").spawn();
    let to = plain.port();
    for words in
        [format!("tls:127.0.0.1:0 127.0.0.1:{to}"), format!("--insecure 0 tls:127.0.0.1:{to}")]
    {
        let running = pktcat_line(&format!("forward {words}")).spawn();
        let port = running.port();
        let round = |clients| {
            for _ in 0..clients {
                // Whether it gets an alert or a reset, and how soon, is not the question.
                let Ok(mut client) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let _ = client.write_all(b"no hello\r\n");
                let _ = client.read_to_end(&mut Vec::new());
            }
            settled("descriptors", || proc::descriptors(running.pid()).len() as u64)
        };
        let descriptors = round(500);
        let before = proc::memory_kib(running.pid(), "VmRSS");
        assert_eq!(round(2_000), descriptors);
        let after = proc::memory_kib(running.pid(), "VmRSS");
        assert!(after < before + 512, "{words}: {before} KiB grew to {after}");
        assert!(running.stderr_now().contains("for #2500 "), "{words}: not all failed");
        running.expect_running();
    }
}

/// A web server of one page, and the forwarder that ends TLS in front of it with a certificate.
fn page_behind(options: &[&str], authority: &Authority) -> (Running, Running) {
    let pair = authority.certify("page", &["localhost", "127.0.0.1"], Dates::Now);
    let page = "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nwonderful";
    let web = pktcat(["listen", "-k", "--reply", page, "127.0.0.1", "0"]).spawn();
    let to = format!("127.0.0.1:{}", web.port());
    let front = pktcat(["forward", "-v"])
        .args(options)
        .arg("--cert")
        .arg(&pair.cert)
        .arg("--key")
        .arg(&pair.key)
        .args(["tls:127.0.0.1:0", &to])
        .spawn();
    (web, front)
}

fn curl_and_openssl_reach_a_plain_server_through_it() {
    let authority = Authority::new("one");
    let (_web, front) = page_behind(&[], &authority);
    let port = front.port();
    let ended = program("curl", ["--silent", "--show-error", "--http1.0", "--cacert"])
        .arg(authority.root())
        .arg(format!("https://localhost:{port}/"))
        .run()
        .expect_code(0);
    assert_eq!(ended.stdout_text(), "wonderful");
    // What was agreed with the client is told, as elsewhere.
    front.wait_line("tls with 127.0.0.1:");
    let ended = program("openssl", ["s_client", "-quiet", "-verify_return_error", "-CAfile"])
        .arg(authority.root())
        .args(["-servername", "localhost", "-connect", &format!("127.0.0.1:{port}")])
        .stdin(Input::Bytes(b"GET / HTTP/1.0\r\n\r\n".to_vec()))
        .run();
    assert!(ended.stdout_text().ends_with("wonderful"), "{}", ended.stderr);
}

fn curl_reaches_a_tls_server_through_it_and_the_dump_shows_all() {
    let authority = Authority::new("one");
    let (_web, front) = page_behind(&[], &authority);
    let root = authority.root();
    let line = format!(
        "forward -x --ca {} --server-name localhost 0 tls:127.0.0.1:{}",
        root.display(),
        front.port()
    );
    let plain = pktcat_line(&line).spawn();
    let ended = program("curl", ["--silent", "--show-error", "--http1.0"])
        .arg(format!("http://127.0.0.1:{}/", plain.port()))
        .run()
        .expect_code(0);
    assert_eq!(ended.stdout_text(), "wonderful");
    for shown in ["GET / HTTP/1.0", "wonderful"] {
        eventually("the dump", || plain.stderr_now().contains(shown).then_some(()));
    }
}

fn tshark_decrypts_with_the_secrets_of_the_forwarder() {
    let authority = Authority::new("one");
    let (capture, secrets) =
        (authority.folder().join("capture"), authority.folder().join("secrets"));
    let (_web, front) = page_behind(&["--keylog", secrets.to_str().unwrap()], &authority);
    let port = front.port();
    let watcher = program("tcpdump", ["-i", "lo", "-U", "-w"])
        .arg(&capture)
        .arg(format!("tcp port {port}"))
        .spawn();
    watcher.wait_line("tcpdump: listening on lo");
    let words = format!("connect --tls --insecure --send question 127.0.0.1 {port}");
    pktcat_line(&words).run().expect_code(0);
    eventually("the payload in the capture", || {
        let read = program("tshark", ["-r"])
            .arg(&capture)
            .args(["-o", &format!("tls.keylog_file:{}", secrets.display())])
            .args(["-d", &format!("tcp.port=={port},tls"), "-q", "-z", "follow,tls,ascii,0"])
            .run();
        read.stdout_text().contains("wonderful").then_some(())
    });
}

fn each_client_goes_through_the_proxy() {
    let (listener, port) = net::listener();
    let line = format!("forward --proxy socks5://127.0.0.1:{port} 0 nowhere.invalid:80");
    let running = pktcat_line(&line).spawn();
    for _ in 0..2 {
        let mut client = net::connect(running.port());
        client.write_all(b"question").unwrap();
        let mut proxy = net::accept(&listener);
        assert_eq!(net::read_exactly(&proxy, 3), [5, 1, 0]);
        proxy.write_all(&[5, 0]).unwrap();
        let asked = net::read_exactly(&proxy, 7 + 15);
        assert_eq!(asked, b"\x05\x01\x00\x03\x0fnowhere.invalid\x00\x50");
        proxy.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!(net::read_exactly(&proxy, 8), b"question");
        proxy.write_all(b"answer").unwrap();
        assert_eq!(net::read_exactly(&client, 6), b"answer");
    }
    // The target's refusal is the client's, and the cause is told.
    let client = net::connect(running.port());
    let mut proxy = net::accept(&listener);
    net::read_exactly(&proxy, 3);
    proxy.write_all(&[5, 0]).unwrap();
    net::read_exactly(&proxy, 7 + 15);
    proxy.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
    assert_eq!(read_to_reset(&client), b"");
    let line = running.wait_line("pktcat: ");
    assert!(line.contains("refused") && line.contains("for #3 "), "{line}");
}

fn options_of_tls_need_the_side_they_are_for() {
    let (_running, _listener) = forwarder("");
    for options in [
        "--insecure 0 127.0.0.1:9",
        "--cert /nowhere --key /nowhere 0 tls:127.0.0.1:9",
        "--client-ca /nowhere 0 127.0.0.1:9",
        "--alpn h2 tls:127.0.0.1:0 127.0.0.1:9",
    ] {
        let ended = pktcat_line(&format!("forward {options}")).run().expect_code(2);
        assert_eq!(ended.stderr.lines().count(), 1, "{options}: {}", ended.stderr);
    }
}
