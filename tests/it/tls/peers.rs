//! Against what people have: OpenSSL, GnuTLS, ncat and socat, TLS 1.2 and 1.3, in both roles. Data go
//! both ways, then each end ends, with the status that says how.

use std::fs;
use std::path::Path;

use libtest_mimic::Trial;

use super::{connect, here, listen};
use crate::util::data::{assert_same, random};
use crate::util::harness::{self, Need};
use crate::util::net::{free_port, is_listening};
use crate::util::tls::{Authority, Pair};
use crate::util::{Cmd, Input, Running, eventually, program};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    Openssl,
    Gnutls,
    Ncat,
    Socat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Two,
    Three,
}

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = Vec::new();
    for tool in [Tool::Openssl, Tool::Gnutls, Tool::Ncat, Tool::Socat] {
        for version in [Version::Two, Version::Three] {
            // ncat cannot be told.
            if tool == Tool::Ncat && version == Version::Two {
                continue;
            }
            let name = |role| format!("{tool:?}_{role}_tls_1_{}", version.number()).to_lowercase();
            let (client, server) = (tool.needs("client"), tool.needs("server"));
            tests.push(harness::test(module_path!(), name("connects"), &client, move || {
                tool_connects(tool, version);
            }));
            tests.push(harness::test(module_path!(), name("listens"), &server, move || {
                tool_listens(tool, version);
            }));
        }
    }
    let openssl = [Need::Program("openssl")];
    tests.push(harness::test(module_path!(), "much_is_the_same_at_the_other_end", &openssl, much));
    let late = "no_answer_is_lost_at_the_end_of_stdin";
    tests.push(harness::test(module_path!(), late, &openssl, no_answer_is_lost));
    tests
}

impl Version {
    fn number(self) -> u8 {
        match self {
            Self::Two => 2,
            Self::Three => 3,
        }
    }
}

impl Tool {
    fn needs(self, role: &str) -> [Need; 1] {
        [Need::Program(match (self, role) {
            (Self::Openssl, _) => "openssl",
            (Self::Gnutls, "client") => "gnutls-cli",
            (Self::Gnutls, _) => "gnutls-serv",
            (Self::Ncat, _) => "ncat",
            (Self::Socat, _) => "socat",
        })]
    }

    /// ncat ends its connections by a FIN alone.
    fn ends_by_fin_alone(self) -> bool {
        self == Self::Ncat
    }

    fn client(self, version: Version, authority: &Authority, port: u16) -> Cmd {
        let (root, number) = (authority.root(), version.number());
        let root = root.to_str().unwrap();
        let place = format!("127.0.0.1:{port}");
        match self {
            Self::Openssl => program("openssl", ["s_client", "-quiet", "-no_ign_eof"])
                .args(["-verify_return_error", "-CAfile", root, &format!("-tls1_{number}")])
                .args(["-connect", &place]),
            Self::Gnutls => program("gnutls-cli", ["--logfile=/dev/null", "--x509cafile", root])
                .args(["--priority", &priority(version), "-p", &port.to_string(), "127.0.0.1"]),
            Self::Ncat => program("ncat", ["--ssl", "127.0.0.1", &port.to_string()]),
            Self::Socat => program("socat", ["-t", "60", "-"]).arg(format!(
                "OPENSSL:{place},cafile={root},openssl-min-proto-version=TLS1.{number},\
                 openssl-max-proto-version=TLS1.{number}"
            )),
        }
    }

    fn server(self, version: Version, pair: &Pair, port: u16) -> Cmd {
        let number = version.number();
        let (cert, key) = (pair.cert.to_str().unwrap(), pair.key.to_str().unwrap());
        let port = port.to_string();
        match self {
            Self::Openssl => program("openssl", ["s_server", "-quiet", "-naccept", "1"]).args([
                "-cert",
                cert,
                "-key",
                key,
                &format!("-tls1_{number}"),
                "-accept",
                &port,
            ]),
            Self::Gnutls => program("gnutls-serv", ["--echo", "--quiet", "--noticket"])
                .args(["--x509certfile", cert, "--x509keyfile", key])
                .args(["--priority", &priority(version), "-p", &port]),
            Self::Ncat => program("ncat", ["--ssl", "--ssl-cert", cert, "--ssl-key", key]).args([
                "-l",
                "127.0.0.1",
                &port,
            ]),
            Self::Socat => program("socat", ["-t", "60", "-"]).arg(format!(
                "OPENSSL-LISTEN:{port},bind=127.0.0.1,cert={cert},key={key},verify=0,\
                 openssl-min-proto-version=TLS1.{number},openssl-max-proto-version=TLS1.{number}"
            )),
        }
    }
}

fn priority(version: Version) -> String {
    format!("NORMAL:-VERS-ALL:+VERS-TLS1.{}", version.number())
}

/// The peer speaks and ends first; what we say comes before.
fn tool_connects(tool: Tool, version: Version) {
    let (authority, pair) = here();
    let words = if tool.ends_by_fin_alone() { "-v --accept-fin" } else { "-v" };
    let mut ours = listen(&pair, words).stdin(Input::Pipe).spawn();
    let mut peer = tool.client(version, &authority, ours.port()).stdin(Input::Pipe).spawn();
    let told = ours.wait_line("tls with ");
    if tool != Tool::Ncat {
        assert!(told.contains(&format!("TLS 1.{}", version.number())), "{told}");
    }
    let (from_us, from_peer) = exchange(&mut ours, &mut peer);
    peer.close_stdin();
    assert_same(&ours.wait_stdout_end(), &from_peer);
    ours.close_stdin();
    assert_same(&ours.wait().expect_code(0).stdout, &from_peer);
    assert_same(&peer.wait().stdout, &from_us);
}

/// We end first.
fn tool_listens(tool: Tool, version: Version) {
    let (authority, pair) = here();
    let (mut peer, port) = serve(tool, version, &pair);
    let words = if tool.ends_by_fin_alone() { "-v --accept-fin" } else { "-v" };
    let mut ours = connect(&authority, port, words).stdin(Input::Pipe).spawn();
    let told = ours.wait_line("tls with ");
    if tool != Tool::Ncat {
        assert!(told.contains(&format!("TLS 1.{}", version.number())), "{told}");
    }
    if tool == Tool::Gnutls {
        // It gives back what it gets, line by line.
        ours.send(b"a line\n");
        assert_eq!(ours.wait_stdout(7), b"a line\n");
        ours.close_stdin();
        ours.wait().expect_code(0);
        return;
    }
    let (from_us, from_peer) = exchange(&mut ours, &mut peer);
    ours.close_stdin();
    peer.close_stdin();
    assert_same(&ours.wait().expect_code(0).stdout, &from_peer);
    assert_same(&peer.wait().stdout, &from_us);
}

/// Much from each to the other, one after the other: from us, from the peer.
fn exchange(ours: &mut Running, peer: &mut Running) -> (Vec<u8>, Vec<u8>) {
    // s_client takes what it reads for commands when that begins with a capital letter.
    let (from_us, from_peer) = (random(1, 1_234_567), hex::encode(random(2, 432_109)).into_bytes());
    ours.send(&from_us);
    assert_same(&peer.wait_stdout(from_us.len()), &from_us);
    peer.send(&from_peer);
    assert_same(&ours.wait_stdout(from_peer.len()), &from_peer);
    (from_us, from_peer)
}

/// A peer that listens, on a port that was free a moment ago.
fn serve(tool: Tool, version: Version, pair: &Pair) -> (Running, u16) {
    listening(|port| tool.server(version, pair, port))
}

fn listening(server: impl Fn(u16) -> Cmd) -> (Running, u16) {
    for _ in 0..10 {
        let port = free_port();
        let peer = server(port).stdin(Input::Pipe).spawn();
        let is_up = eventually("the peer to listen or to end", || match peer.ended() {
            Some(_) => Some(false),
            None => is_listening(port).then_some(true),
        });
        if is_up {
            return (peer, port);
        }
    }
    panic!("the peer cannot listen on any port");
}

/// SHA-256 as a program has it.
fn hash(file: &Path) -> String {
    let ended = program("openssl", ["dgst", "-sha256", "-r"]).arg(file).run().expect_code(0);
    ended.stdout_text().split_whitespace().next().unwrap().to_owned()
}

/// 256 MiB in each role, hashed.
fn much() {
    const MUCH: u64 = 256 << 20;
    let (authority, pair) = here();
    let payload = authority.folder().join("payload");
    // Every block is another one. (No capital letters: s_client would take them for commands.)
    let mut file = fs::File::create(&payload).unwrap();
    for seed in 0..MUCH >> 20 {
        let block = hex::encode(random(seed, 1 << 19));
        std::io::Write::write_all(&mut file, block.as_bytes()).unwrap();
    }
    let wanted = hash(&payload);
    let file = |name: &str| authority.folder().join(name);
    let create = |name: &str| crate::util::Output::Fd(fs::File::create(file(name)).unwrap().into());
    let source = || Input::Fd(fs::File::open(&payload).unwrap().into());

    // From s_client to us.
    let ours = listen(&pair, "").stdout(create("received")).spawn();
    let client = Tool::Openssl.client(Version::Three, &authority, ours.port());
    let client = client.stdin(source()).spawn();
    ours.wait().expect_code(0);
    client.wait();
    assert_eq!(hash(&file("received")), wanted);

    // From us to s_server.
    let (server, port) = listening(|port| {
        Tool::Openssl.server(Version::Three, &pair, port).stdout(create("received"))
    });
    connect(&authority, port, "").stdin(source()).run().expect_code(0);
    server.wait();
    assert_eq!(hash(&file("received")), wanted);
}

/// stdin is over long before the answer comes: a file of OpenSSL's little web server.
fn no_answer_is_lost() {
    let (authority, pair) = here();
    let answer = random(4, 5_000_000);
    fs::write(authority.folder().join("answer"), &answer).unwrap();
    let folder = authority.folder().to_str().unwrap();
    let (_peer, port) = listening(|port| {
        let server = Tool::Openssl.server(Version::Three, &pair, port).arg("-WWW");
        server.through(["env", "-C", folder])
    });
    let question = b"GET /answer HTTP/1.0\r\n\r\n".to_vec();
    let ended = connect(&authority, port, "").stdin(Input::Bytes(question)).run().expect_code(0);
    assert!(ended.stdout.starts_with(b"HTTP/1.0 200 ok"));
    assert_same(&ended.stdout[ended.stdout.len() - answer.len()..], &answer);
}
