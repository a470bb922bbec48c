//! Whom a client trusts, and whom a listener lets in: every reason not to, with status and message.

use std::fs;

use libtest_mimic::Trial;
use rcgen::{BasicConstraints, IsCa};

use super::{connect, here, listen, refused};
use crate::tests;
use crate::util::tls::{Authority, Dates, sha256};
use crate::util::{Input, each_at_once, pktcat};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_name_must_be_in_the_certificate,
        dates_must_be_right,
        an_issuer_must_be_known,
        a_self_signed_certificate_may_be_trusted_itself,
        a_pin_is_exactly_one_certificate,
        anybody_may_be_trusted,
        the_systems_roots_are_asked_by_default,
        clients_may_have_to_show_a_certificate,
        a_certificate_made_for_the_run_is_told_and_can_be_pinned,
        files_that_are_not_what_they_should_be_are_told,
    ]
}

const NAMES: &[&str] = &["example.com", "*.wild.example", "127.0.0.1"];

/// Whether the name is taken, asked for as it is written there.
fn a_name_must_be_in_the_certificate() {
    let authority = Authority::new("Root");
    let pair = authority.certify("names", NAMES, Dates::Now);
    let cases = [
        ("example.com", true),
        ("EXAMPLE.com", true),
        ("example.com.", true),
        ("a.wild.example", true),
        ("127.0.0.1", true),
        ("wild.example", false),
        ("a.b.wild.example", false),
        ("other.example", false),
        ("127.0.0.2", false),
        ("::1", false),
    ];
    each_at_once(cases, |(name, is_taken)| {
        let server = listen(&pair, "--send hello").spawn();
        let words = format!("-d --server-name {name}");
        let client = connect(&authority, server.port(), &words).spawn();
        if is_taken {
            assert_eq!(client.wait().expect_code(0).stdout, b"hello", "{name}");
            server.wait().expect_code(0);
        } else {
            let told = refused(client, "not trusted: it is for example.com, *.wild.example");
            let asked = name.trim_end_matches('.');
            assert!(told.contains(&format!("not for {asked}")), "{told}");
            assert!(told.contains(&sha256(&pair.cert)), "{told}");
            refused(server, "the peer ended it: alert");
        }
    });
    // Without the option it is HOST.
    let server = listen(&pair, "--send hello").spawn();
    assert_eq!(connect(&authority, server.port(), "-d").run().expect_code(0).stdout, b"hello");
    let server = listen(&pair, "").spawn();
    let client = pktcat(["connect", "--tls", "localhost", &server.port().to_string(), "--ca"])
        .arg(authority.root())
        .spawn();
    refused(client, "not for localhost");
}

fn dates_must_be_right() {
    let authority = Authority::new("Root");
    for (file, dates, reason) in [
        ("old", Dates::Past, "not trusted: it expired on 20"),
        ("early", Dates::Future, "not trusted: it is valid only from 20"),
    ] {
        let pair = authority.certify(file, &["127.0.0.1"], dates);
        let server = listen(&pair, "").spawn();
        let told = refused(connect(&authority, server.port(), "").spawn(), reason);
        assert!(told.contains(&format!("CN={file}")), "{told}");
        refused(server, "the peer ended it: alert");
    }
}

fn an_issuer_must_be_known() {
    let (_authority, pair) = here();
    let stranger = Authority::new("Stranger");
    let server = listen(&pair, "").spawn();
    let told =
        refused(connect(&stranger, server.port(), "").spawn(), "its issuer CN=Root is not known");
    assert!(told.contains("--ca FILE"), "{told}");
    refused(server, "unknown_ca");
    // The chain may have its root with it.
    let authority = Authority::new("Root");
    let pair = authority.certify("chain", &["127.0.0.1"], Dates::Now);
    let whole = [fs::read(&pair.cert).unwrap(), fs::read(authority.root()).unwrap()].concat();
    fs::write(&pair.cert, whole).unwrap();
    let server = listen(&pair, "").spawn();
    refused(connect(&stranger, server.port(), "").spawn(), "its root CN=Root is not known");
    let server = listen(&pair, "--send x").spawn();
    connect(&authority, server.port(), "-d").run().expect_code(0);
}

fn a_self_signed_certificate_may_be_trusted_itself() {
    let authority = Authority::new("Root");
    for (file, is_ca) in [
        ("own", IsCa::ExplicitNoCa),
        ("plain", IsCa::NoCa),
        // As `openssl req -x509` makes them.
        ("as-ca", IsCa::Ca(BasicConstraints::Unconstrained)),
    ] {
        let pair = authority.self_signed(file, &["127.0.0.1"], is_ca);
        let server = listen(&pair, "").spawn();
        refused(connect(&authority, server.port(), "").spawn(), "it is self-signed");
        let client = |server: u16| {
            pktcat(["connect", "--tls", "-d", "127.0.0.1", &server.to_string(), "--ca"])
                .arg(&pair.cert)
        };
        let server = listen(&pair, "--send x").spawn();
        assert_eq!(client(server.port()).run().expect_code(0).stdout, b"x", "{file}");
        let server = listen(&pair, "").spawn();
        let other = client(server.port()).args(["--server-name", "other.example"]).spawn();
        refused(other, "not for other.example");
    }
}

fn a_pin_is_exactly_one_certificate() {
    let (authority, pair) = here();
    // Of no known issuer, for another name and too old: nothing but the pin counts.
    let old = authority.certify("old", &["example.com"], Dates::Past);
    for pair in [&pair, &old] {
        let pin = sha256(&pair.cert);
        let with_colons =
            pin.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).to_uppercase());
        for pin in [pin.clone(), with_colons.collect::<Vec<_>>().join(":")] {
            let server = listen(pair, "--send x").spawn();
            let port = server.port().to_string();
            let client = pktcat(["connect", "--tls", "-d", "--pin", &pin, "127.0.0.1", &port]);
            assert_eq!(client.run().expect_code(0).stdout, b"x");
        }
    }
    let server = listen(&pair, "").spawn();
    let port = server.port().to_string();
    let wrong = "0".repeat(64);
    let client = pktcat(["connect", "--tls", "--pin", &wrong, "127.0.0.1", &port]).spawn();
    let told = refused(client, "not the certificate of --pin");
    assert!(told.contains(&sha256(&pair.cert)), "{told}");
}

fn anybody_may_be_trusted() {
    let authority = Authority::new("Root");
    let pair = authority.certify("old", &["example.com"], Dates::Past);
    let server = listen(&pair, "--send x").spawn();
    let port = server.port().to_string();
    let client = pktcat(["connect", "--tls", "-d", "-v", "--insecure", "127.0.0.1", &port]);
    let ended = client.run().expect_code(0);
    assert_eq!(ended.stdout, b"x");
    assert!(ended.stderr.contains("not verified"), "{}", ended.stderr);
}

/// SSL_CERT_FILE stands for the system's own.
fn the_systems_roots_are_asked_by_default() {
    let (authority, pair) = here();
    let run = |roots: &std::path::Path| {
        let server = listen(&pair, "--send x").spawn();
        let port = server.port().to_string();
        let client = pktcat(["connect", "--tls", "-d", "127.0.0.1", &port]);
        let folder = authority.folder().join("none");
        (client.env("SSL_CERT_FILE", roots).env("SSL_CERT_DIR", folder).spawn(), server)
    };
    fs::create_dir(authority.folder().join("none")).unwrap();
    let (client, server) = run(&authority.root());
    assert_eq!(client.wait().expect_code(0).stdout, b"x");
    server.wait().expect_code(0);
    let stranger = Authority::new("Stranger");
    let (client, _server) = run(&stranger.root());
    refused(client, "its issuer CN=Root is not known");
    let empty = authority.folder().join("empty");
    fs::write(&empty, "").unwrap();
    let (client, _server) = run(&empty);
    refused(client, "no roots");
}

fn clients_may_have_to_show_a_certificate() {
    let (authority, pair) = here();
    let clients = Authority::new("Clients");
    let right = clients.certify("somebody", &["somebody.example"], Dates::Now);
    let old = clients.certify("old", &["somebody.example"], Dates::Past);
    let stranger = Authority::new("Stranger");
    let wrong = stranger.certify("stranger", &["stranger.example"], Dates::Now);
    let server = || listen(&pair, "-v --send welcome --client-ca").arg(clients.root()).spawn();

    let one = server();
    let client =
        connect(&authority, one.port(), "-d --cert").arg(&right.cert).arg("--key").arg(&right.key);
    assert_eq!(client.run().expect_code(0).stdout, b"welcome");
    let told = one.wait().expect_code(0).stderr;
    assert!(told.contains("subject CN=somebody") && told.contains("verified"), "{told}");

    // TLS 1.3 tells a client only after its own handshake is complete.
    let one = server();
    let client = connect(&authority, one.port(), "").stdin(Input::Bytes(b"hello".to_vec())).spawn();
    let told = refused(client, "certificate_required");
    assert!(told.contains("--cert"), "{told}");
    refused(one, "no certificate");

    for (pair, reason) in [(&wrong, "its issuer CN=Stranger is not known"), (&old, "it expired on")]
    {
        let one = server();
        let client =
            connect(&authority, one.port(), "--cert").arg(&pair.cert).arg("--key").arg(&pair.key);
        refused(client.stdin(Input::Bytes(b"hello".to_vec())).spawn(), "the peer ended it: alert");
        let told = refused(one, reason);
        assert!(told.contains(&sha256(&pair.cert)), "{told}");
    }
}

fn a_certificate_made_for_the_run_is_told_and_can_be_pinned() {
    let words = ["listen", "--tls", "--send", "x", "127.0.0.1", "0"];
    let server = pktcat(words).spawn();
    let told = server.wait_line("certificate for this run: SHA-256 ");
    let pin = told.split_whitespace().last().unwrap();
    let port = server.port().to_string();
    let client = pktcat(["connect", "--tls", "-d", "--pin", pin, "127.0.0.1", &port]);
    assert_eq!(client.run().expect_code(0).stdout, b"x");
    let quiet = pktcat(words).args(["--quiet", "--accept-timeout", "10ms"]).run();
    assert!(!quiet.stderr.contains("SHA-256"), "{}", quiet.stderr);
    // Each run has its own.
    let other = pktcat(words).spawn().wait_line("certificate for this run: SHA-256 ");
    assert_ne!(told, other);
}

fn files_that_are_not_what_they_should_be_are_told() {
    let (authority, pair) = here();
    let other = authority.certify("other", &["127.0.0.1"], Dates::Now);
    let nothing = authority.folder().join("nothing");
    fs::write(&nothing, "no PEM here\n").unwrap();
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let (cert, key, nothing) = (path(&pair.cert), path(&pair.key), path(&nothing));
    let cases = [
        (vec!["--cert", "/nowhere/at/all"], "/nowhere/at/all"),
        (vec!["--cert", &nothing, "--key", &key], "holds no certificate"),
        (vec!["--cert", &cert, "--key", &nothing], "holds no private key"),
        (vec!["--cert", &cert], "holds no private key"),
        (vec!["--client-ca", &nothing], "holds no certificate"),
        (vec!["--client-ca", "/"], "directory"),
        (vec!["--keylog", "/nowhere/at/all"], "/nowhere/at/all"),
    ];
    for (words, reason) in cases {
        let ended = pktcat(["listen", "--tls", "127.0.0.1", "0"]).args(words).run().expect_code(6);
        assert!(ended.stderr.contains(reason), "{reason}: {}", ended.stderr);
    }
    let mismatched = path(&other.key);
    let ended =
        pktcat(["listen", "--tls", "127.0.0.1", "0", "--cert", &cert, "--key", &mismatched]).run();
    let ended = ended.expect_code(6);
    assert!(ended.stderr.contains("not that of the certificate"), "{}", ended.stderr);
    // A certificate and its key may share a file.
    let both = [fs::read(&pair.cert).unwrap(), fs::read(&pair.key).unwrap()].concat();
    fs::write(authority.folder().join("both.pem"), both).unwrap();
    let both = path(&authority.folder().join("both.pem"));
    let server =
        pktcat(["listen", "--tls", "--send", "x", "127.0.0.1", "0", "--cert", &both]).spawn();
    connect(&authority, server.port(), "-d").run().expect_code(0);
}
