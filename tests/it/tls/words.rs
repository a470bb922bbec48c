//! The words of TLS and what is told of a handshake: options that do not go together, `-v`, `--json`,
//! protocols, secrets for Wireshark.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use libtest_mimic::Trial;

use super::{connect, here, listen, refused};
use crate::json::events;
use crate::tests;
use crate::util::harness::Need;
use crate::util::tls::sha256;
use crate::util::{Input, pktcat, pktcat_line, program};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        what_does_not_go_with_tls_is_a_usage_error,
        the_chain_is_told_also_when_it_is_refused,
        programs_are_told_the_same,
        protocols_are_agreed_on_by_name,
        secrets_are_added_to_a_file_of_their_own,
        tshark_decrypts_with_the_secrets needs [Need::Program("tshark"), Need::Program("tcpdump"), Need::Root],
        observers_see_the_payload,
        each_line_has_its_time,
        payload_may_be_paced_and_waited_for,
    ]
}

fn what_does_not_go_with_tls_is_a_usage_error() {
    let zeros = "0".repeat(64);
    for (line, reason) in [
        ("connect -u --tls 127.0.0.1 9", "not over UDP"),
        ("connect --tls -U /tmp/nobody", "not over --unix"),
        ("listen -u --tls 0", "not over UDP"),
        ("listen -t -u -k --tls 0", "not over UDP"),
        ("listen --tls -U /tmp/nobody", "not over --unix"),
        ("listen --tls 127.0.0.1 0 -- cat", "command"),
        ("connect --insecure 127.0.0.1 9", "--tls"),
        ("connect --server-name a 127.0.0.1 9", "--tls"),
        ("listen --client-ca /dev/null 0", "--tls"),
        ("listen -w 1s 0", "--tls"),
        ("connect --alpn h2 127.0.0.1 9", "--tls"),
        ("connect --accept-fin 127.0.0.1 9", "--tls"),
        ("connect --tls --key /dev/null 127.0.0.1 9", "--cert"),
        ("connect --tls --pin 1234 127.0.0.1 9", "64 hex digits"),
        (&format!("connect --tls --insecure --pin {zeros} 127.0.0.1 9"), "--pin"),
        ("connect --tls --server-name a..b 127.0.0.1 9", "no certificate"),
        ("listen --tls --ca /dev/null 0", "--ca"),
    ] {
        let ended = pktcat_line(line).run().expect_code(2);
        assert!(ended.stderr.contains(reason), "{line}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
    let long = "x".repeat(256);
    pktcat(["connect", "--tls", "--alpn", &long, "127.0.0.1", "9"]).run().expect_code(2);
    pktcat(["connect", "--tls", "--alpn", "", "127.0.0.1", "9"]).run().expect_code(2);
}

fn the_chain_is_told_also_when_it_is_refused() {
    let (authority, pair) = here();
    for (words, is_taken) in [("-v -d", true), ("-v -d --server-name other.example", false)] {
        let server = listen(&pair, "-v --send x").spawn();
        let ended = connect(&authority, server.port(), words).run();
        let told = ended.expect_code(if is_taken { 0 } else { 9 }).stderr;
        let line = told.lines().find(|line| line.starts_with("tls with 127.0.0.1:")).unwrap();
        assert!(line.contains("TLS 1.3"), "{told}");
        assert!(line.contains("TLS_AES_128_GCM_SHA256"), "{told}");
        assert!(line.contains(if is_taken { "verified" } else { "failed: not trusted" }), "{told}");
        let line = told.lines().find(|line| line.starts_with("certificate 1 of 1 of ")).unwrap();
        for part in
            ["subject CN=here", "DNS:localhost IP:127.0.0.1", "issuer CN=Root", "valid from 20"]
        {
            assert!(line.contains(part), "{part}: {told}");
        }
        assert!(line.contains(&sha256(&pair.cert)), "{told}");
        if is_taken {
            assert!(server.wait().expect_code(0).stderr.contains("TLS 1.3"));
        } else {
            server.wait().expect_code(9);
        }
    }
}

fn programs_are_told_the_same() {
    let (authority, pair) = here();
    for is_taken in [true, false] {
        let server = listen(&pair, "--send x").spawn();
        let words = if is_taken { "--json -d" } else { "--json --server-name other.example" };
        let ended = connect(&authority, server.port(), words).run();
        let told = events(&ended.expect_code(if is_taken { 0 } else { 9 }).stderr);
        let event = told.iter().find(|event| event["event"] == "tls").unwrap();
        assert_eq!(event["version"], "TLS 1.3");
        assert_eq!(event["trust"], if is_taken { "verified" } else { "refused" });
        assert_eq!(event.contains_key("error"), !is_taken);
        let certificates = event["certificates"].as_array().unwrap();
        assert_eq!(certificates[0]["sha256"], sha256(&pair.cert).as_str());
        assert_eq!(certificates[0]["names"][0], "DNS:localhost");
        assert!(certificates[0]["not_after"].as_str().unwrap().ends_with('Z'));
    }
    let made = pktcat_line("listen --tls --json --accept-timeout 1ms 127.0.0.1 0").run();
    let told = events(&made.expect_code(5).stderr);
    assert_eq!(told[0]["event"], "certificate");
}

fn protocols_are_agreed_on_by_name() {
    let (authority, pair) = here();
    let server = listen(&pair, "--send x --alpn second --alpn first").spawn();
    let client = connect(&authority, server.port(), "-d -v --alpn none --alpn first");
    assert!(client.run().expect_code(0).stderr.contains("ALPN first"));
    let server = listen(&pair, "--alpn second").spawn();
    let client = connect(&authority, server.port(), "--alpn first").spawn();
    refused(client, "no_application_protocol");
    refused(server, "nothing in common: no ALPN name of both");
    // A server that knows nothing of them goes on without.
    let server = listen(&pair, "--send x").spawn();
    let client = connect(&authority, server.port(), "-d -v --alpn first");
    assert!(client.run().expect_code(0).stderr.contains("no ALPN"));
}

fn secrets_are_added_to_a_file_of_their_own() {
    let (authority, pair) = here();
    let file = authority.folder().join("secrets");
    for is_named_by_environment in [false, true] {
        let server = listen(&pair, "--send x").spawn();
        let client = connect(&authority, server.port(), "-d");
        let client = match is_named_by_environment {
            false => client.arg("--keylog").arg(&file),
            true => client.env("SSLKEYLOGFILE", &file),
        };
        client.run().expect_code(0);
        let text = fs::read_to_string(&file).unwrap();
        let count =
            text.lines().filter(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0 ")).count();
        assert_eq!(count, 1 + usize::from(is_named_by_environment), "{text}");
    }
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    // What only the environment names, and cannot be written, ends nothing.
    let server = listen(&pair, "--send x").spawn();
    let client = connect(&authority, server.port(), "-d").env("SSLKEYLOGFILE", "/nowhere/at/all");
    let ended = client.run().expect_code(0);
    assert!(ended.stderr.contains("SSLKEYLOGFILE"), "{}", ended.stderr);
}

fn tshark_decrypts_with_the_secrets() {
    let (authority, pair) = here();
    let (capture, secrets) =
        (authority.folder().join("capture"), authority.folder().join("secrets"));
    let server = listen(&pair, "--send wonderful").spawn();
    let port = server.port();
    let filter = format!("tcp port {port}");
    let watcher = program("tcpdump", ["-i", "lo", "-U", "-w"])
        .arg(&capture)
        .arg(&filter)
        .stdin(Input::Null)
        .spawn();
    watcher.wait_line("tcpdump: listening on lo");
    let client = connect(&authority, port, "-d --keylog").arg(&secrets);
    assert_eq!(client.run().expect_code(0).stdout, b"wonderful");
    server.wait().expect_code(0);
    // What the capture has by now may not be all of it yet.
    crate::util::eventually("the payload in the capture", || {
        let keys = format!("tls.keylog_file:{}", secrets.display());
        let read = program("tshark", ["-r"])
            .arg(&capture)
            .args(["-o", &keys, "-d", &format!("tcp.port=={port},tls")])
            .args(["-q", "-z", "follow,tls,ascii,0"])
            .run();
        read.stdout_text().contains("wonderful").then_some(())
    });
}

fn observers_see_the_payload() {
    let (authority, pair) = here();
    let capture = authority.folder().join("pcap");
    let server = listen(&pair, "--send answer").stdin(Input::Null).spawn();
    let client = connect(&authority, server.port(), "-x --send question --pcap").arg(&capture);
    let ended = client.run().expect_code(0);
    assert!(ended.stderr.contains("|question|"), "{}", ended.stderr);
    assert!(ended.stderr.contains("|answer|"), "{}", ended.stderr);
    let held = fs::read(&capture).unwrap();
    for text in [b"question".as_slice(), b"answer"] {
        assert!(held.windows(text.len()).any(|window| window == text));
    }
}

fn each_line_has_its_time() {
    let (authority, pair) = here();
    let server = listen(&pair, "--send x").spawn();
    let ended = connect(&authority, server.port(), "-d -v --timestamps").run().expect_code(0);
    for what in ["tls with ", "certificate 1 of 1"] {
        let line = ended.stderr.lines().find(|line| line.contains(what)).unwrap();
        assert!(line.starts_with("20") && line.contains("Z "), "{line}");
    }
}

/// What TLS has taken from stdin is what has been sent, and the other options see no difference.
fn payload_may_be_paced_and_waited_for() {
    let (authority, pair) = here();
    let server = listen(&pair, "-k --echo").spawn();
    let words = "--rate 20k --send 01234567 --expect 567 --send last --expect last";
    let ended = connect(&authority, server.port(), words).run().expect_code(0);
    assert_eq!(ended.stdout, b"01234567last");
    let ended = connect(&authority, server.port(), "--send a --expect never --timeout 300ms").run();
    ended.expect_code(10);
    let begun = std::time::Instant::now();
    let bytes = crate::util::data::random(1, 5_000);
    let client =
        connect(&authority, server.port(), "--rate 10k").stdin(Input::Bytes(bytes.clone()));
    assert_eq!(client.run().expect_code(0).stdout, bytes);
    assert!(begun.elapsed() > std::time::Duration::from_millis(300), "{:?}", begun.elapsed());
}
