//! Dialogues with the servers of a distribution: the right answer, a wrong one, none, and an end, each with its
//! status. Every one of them is a line that somebody could type.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::tests;
use crate::util::harness::Need;
use crate::util::{Ended, Running, eventually, find_program, net, pktcat, program};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        redis_answers_a_ping needs [Need::Program("redis-server")],
        a_web_server_is_asked_for_its_status needs [Need::Program("nginx")],
        an_ssh_server_says_who_it_is
            needs [Need::Root, Need::Program("sshd"), Need::Program("ssh-keygen")],
        a_mail_server_is_greeted_and_left needs [Need::Program("aiosmtpd")],
        a_file_is_read_by_tftp needs [Need::Root, Need::Program("in.tftpd")],
    ]
}

/// A server that was started with these words and accepts connections at this port.
fn serving(words: &[&str], port: &str) -> Running {
    let name = find_program(words[0]).unwrap();
    let server = program(name, &words[1..]).spawn();
    eventually("a server to listen", || {
        std::net::TcpStream::connect(("127.0.0.1", port.parse().unwrap())).ok().map(drop)
    });
    server
}

/// What a dialogue with the server at this port ends with.
fn dialogue(port: &str, words: &[&str]) -> Ended {
    let own = ["connect", "127.0.0.1", port, "--escapes", "--timeout", "10s"];
    pktcat(own.iter().chain(words)).run()
}

/// It fails with status 10 and says what came.
#[track_caller]
fn expect_unmet(ended: Ended, came: &str) {
    let ended = ended.expect_code(10);
    assert!(ended.stderr.contains(came), "{}\nand not: {came}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

/// A folder that every user may read.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn redis_answers_a_ping() {
    let (folder, port) = (folder(), net::free_port().to_string());
    let words = [
        "redis-server",
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        text(folder.path()),
    ];
    let _server = serving(&words, &port);
    let ended = dialogue(&port, &["--send", r"PING\r\n", "--expect", r"+PONG\r\n"]);
    assert_eq!(ended.expect_code(0).stdout, b"+PONG\r\n");
    let wrong =
        dialogue(&port, &["--send", r"PNIG\r\n", "--expect", "+PONG", "--idle-timeout", "2s"]);
    expect_unmet(wrong, r#"(--idle-timeout; what came: "-ERR unknown command"#);
    // Silent: half a command. Closed: QUIT is answered, and then there is nothing more.
    let silent = dialogue(&port, &["--send", "PIN", "--expect", "+PONG", "--idle-timeout", "2s"]);
    expect_unmet(silent, "nothing came");
    let closed = dialogue(&port, &["--send", r"QUIT\r\n", "--expect", "+PONG"]);
    expect_unmet(closed, r#"the peer ended (what came: "+OK\r\n")"#);
    let set_and_get = [
        "--send",
        r"SET k v\r\n",
        "--expect",
        r"+OK\r\n",
        "--send",
        r"GET k\r\n",
        "--expect-re",
        r"\$1\r\nv\r\n",
    ];
    dialogue(&port, &set_and_get).expect_code(0);
}

fn a_web_server_is_asked_for_its_status() {
    let (folder, port) = (folder(), net::free_port().to_string());
    let at = text(folder.path());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {at}/{kind};"))
        .collect();
    let config = format!(
        "daemon off; master_process off; pid {at}/pid; error_log stderr; events {{}} http {{ access_log off; {temporary}
        server {{ listen 127.0.0.1:{port}; location / {{ return 200 fine; }} location /no {{ return 404; }} }} }}"
    );
    let file = folder.path().join("nginx.conf");
    fs::write(&file, config).unwrap();
    let words = ["nginx", "-e", "stderr", "-p", at, "-c", text(&file)];
    let _server = serving(&words, &port);
    let get = |path: &str| format!(r"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n");
    let ok = ["--expect-re", r"^HTTP/1\.[01] 200 "];
    let ended = dialogue(&port, &[&["--send", &get("/")], &ok[..]].concat());
    assert!(ended.expect_code(0).stdout.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let wrong = dialogue(&port, &[&["--send", &get("/no")], &ok[..]].concat());
    expect_unmet(wrong, r#"the peer ended (what came: "HTTP/1.1 404 Not Found\r\n"#);
    let silent = ["--send", "GET ", ok[0], ok[1], "--idle-timeout", "2s"];
    expect_unmet(dialogue(&port, &silent), "nothing came");
    // Two requests over one connection: the second leaves when the first is answered.
    let kept = r"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let twice = ["--send", kept, "--expect", "fine", "--send", kept, "--expect", "fine"];
    let ended = dialogue(&port, &twice).expect_code(0);
    assert_eq!(ended.stdout_text().matches("fine").count(), 2);
}

fn an_ssh_server_says_who_it_is() {
    let (folder, port) = (folder(), net::free_port().to_string());
    let key = folder.path().join("key");
    let words = ["-q", "-t", "ed25519", "-N", "", "-f", text(&key)];
    program("ssh-keygen", words).run().expect_code(0);
    // Where privileges are separated it wants this folder, and a package's start script makes it.
    fs::create_dir_all("/run/sshd").unwrap();
    let sshd = find_program("sshd").unwrap();
    let words = [
        text(&sshd),
        "-D",
        "-e",
        "-f",
        "/dev/null",
        "-h",
        text(&key),
        "-p",
        &port,
        "-o",
        "ListenAddress=127.0.0.1",
        "-o",
        "PidFile=none",
    ];
    let _server = serving(&words, &port);
    let ended = dialogue(&port, &["--expect-re", r"^SSH-2\.0-[^\r\n]+\r\n"]);
    assert!(ended.expect_code(0).stdout.starts_with(b"SSH-2.0-OpenSSH"));
    let wrong = dialogue(&port, &["--expect", "220 ", "--idle-timeout", "2s"]);
    expect_unmet(wrong, r#"(--idle-timeout; what came: "SSH-2.0-OpenSSH"#);
    // It ends the connection of who does not speak its protocol.
    let closed = dialogue(&port, &["--send", r"HELO\r\n", "--expect", "250 "]);
    expect_unmet(closed, "the peer ended");
}

fn a_mail_server_is_greeted_and_left() {
    let port = net::free_port().to_string();
    let words = ["aiosmtpd", "-n", "-l", &format!("127.0.0.1:{port}")];
    let _server = serving(&words, &port);
    let greeting = ["--expect-re", "^220 ", "--send", r"EHLO me\r\n"];
    let whole =
        [&greeting[..], &["--expect-re", "(?m)^250 ", "--send", r"QUIT\r\n", "--expect", "221 "]]
            .concat();
    let ended = dialogue(&port, &whole).expect_code(0).stdout_text();
    let codes: Vec<&str> = ended.lines().filter_map(|line| line.get(..3)).collect();
    assert!(codes.starts_with(&["220", "250"]) && codes.ends_with(&["221"]), "{ended}");
    let wrong = [
        "--expect-re",
        "^220 ",
        "--send",
        r"HI\r\n",
        "--expect-re",
        "(?m)^250 ",
        "--idle-timeout",
        "2s",
    ];
    expect_unmet(dialogue(&port, &wrong), "500 Error");
    let silent = [&greeting[..2], &["--expect", "250 ", "--idle-timeout", "2s"]].concat();
    expect_unmet(dialogue(&port, &silent), "nothing has passed after 2s");
    let closed = [&greeting[..2], &["--send", r"QUIT\r\n", "--expect", "250 "]].concat();
    expect_unmet(dialogue(&port, &closed), r"221 Bye\r\n");
}

fn a_file_is_read_by_tftp() {
    let folder = folder();
    fs::write(folder.path().join("motd"), "hello\n").unwrap();
    let port = net::free_port();
    let at = format!("127.0.0.1:{port}");
    let server = find_program("in.tftpd").unwrap();
    let _server =
        program(server, ["-L", "-u", "nobody", "-a", &at, "-s", text(folder.path())]).spawn();
    // The request, the first block from another port, and its acknowledgement to that one (RFC 1350). Until the
    // server listens the request is refused.
    let words = [
        "connect",
        "-u",
        "--follow",
        "127.0.0.1",
        &port.to_string(),
        "--retry",
        "100",
        "--retry-delay",
        "50ms",
        "--timeout",
        "20s",
        "--escapes",
        "--send",
        r"\0\x01motd\0octet\0",
        "--expect-hex",
        "0003 0001",
        "--send-hex",
        "0004 0001",
        "-q",
        "2s",
    ];
    let ended = pktcat(words).run().expect_code(0);
    assert_eq!(ended.stdout, b"\0\x03\0\x01hello\n");
    let missing =
        words.map(|word| if word.contains("motd") { r"\0\x01none\0octet\0" } else { word });
    expect_unmet(pktcat(missing).run(), r#"what came: "\0\x05\0\x01File not found"#);
}
