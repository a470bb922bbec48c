//! Real services behind a forwarder: they answer as they do without it, and what they say is shown.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::tests;
use crate::util::data::assert_same;
use crate::util::harness::Need;
use crate::util::{Running, eventually, find_program, net, pktcat_line, program};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        redis needs [Need::Program("redis-server")],
        nginx needs [Need::Program("nginx")],
        dnsmasq_over_tcp needs [Need::Program("dnsmasq")],
        dnsmasq_over_udp needs [Need::Program("dnsmasq")],
    ]
}

/// A service at a port that was free a moment ago, begun again when another took it meanwhile.
fn start(name: &str, words: impl Fn(u16) -> Vec<String>) -> (Running, u16) {
    for _ in 0..5 {
        let port = net::free_port();
        let service = program(find_program(name).unwrap(), words(port)).spawn();
        let is_up = eventually("the service to be up or to have ended", || {
            let up = TcpStream::connect(("127.0.0.1", port)).is_ok();
            (up || service.ended().is_some()).then_some(up)
        });
        if is_up && service.ended().is_none() {
            return (service, port);
        }
    }
    panic!("{name} did not start");
}

/// What the service at this port answers to a request until it closes the connection.
fn answer(port: u16, request: &[u8]) -> Vec<u8> {
    let mut client = net::connect(port);
    client.write_all(request).unwrap();
    net::finish(&client);
    net::read_to_fin(&client)
}

/// The request through a forwarder with a dump; what came back, and the dump.
fn forwarded(to: u16, request: &[u8]) -> (Vec<u8>, String) {
    let running = pktcat_line(&format!("forward -x 0 127.0.0.1:{to}")).spawn();
    let came = answer(running.port(), request);
    running.wait_line("* ");
    (came, whole_dump(&running))
}

/// The dump once it tells that the service has closed the connection: the client may know before.
fn whole_dump(running: &Running) -> String {
    eventually("the end to be shown", || {
        Some(running.stderr_now()).filter(|dump| dump.contains("server closed"))
    })
}

/// The text column of a dump, put together.
fn shown(dump: &str, direction: char) -> String {
    let mut text = String::new();
    let mut wanted = false;
    for line in dump.lines() {
        match line.split_once("  |") {
            Some((_, column)) if wanted => text += column.trim_end_matches('|'),
            Some(_) => {}
            None => wanted = line.starts_with(direction),
        }
    }
    text
}

fn redis() {
    let (_service, port) = start("redis-server", |port| {
        let words = format!("--port {port} --bind 127.0.0.1 --appendonly no");
        let words = words.split(' ').map(str::to_owned);
        words.chain(["--save".to_owned(), String::new()]).collect()
    });
    let long = "long ".repeat(20_000);
    let mut request = b"PING\r\nSET greeting hello\r\nGET greeting\r\nGET nobody\r\n".to_vec();
    let command = ["SET", "long", &long];
    write!(request, "*{}\r\n", command.len()).unwrap();
    for word in command {
        write!(request, "${}\r\n{word}\r\n", word.len()).unwrap();
    }
    request.extend(b"GET long\r\nINCRBY nowhere much\r\nQUIT\r\n");

    let direct = answer(port, &request);
    assert!(direct.starts_with(b"+PONG\r\n+OK\r\n$5\r\nhello\r\n$-1\r\n+OK\r\n$100000\r\nlong "));
    let (came, dump) = forwarded(port, &request);
    assert_same(&came, &direct);
    assert!(shown(&dump, '>').starts_with("PING..SET greeting hello..GET greeting.."), "{dump}");
    assert!(shown(&dump, '<').starts_with("+PONG..+OK..$5..hello..$-1..+OK..$100000..long "));
    assert_eq!(shown(&dump, '<').len(), direct.len());
}

fn nginx() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("page.html"), "<p>Hello</p>\n".repeat(50_000)).unwrap();
    let (_service, port) = start("nginx", |port| {
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {};\n", at(name)))
            .concat();
        let text = format!(
            "daemon off; master_process off; pid {}; error_log stderr;\n\
             events {{ worker_connections 64; }}\n\
             http {{ {temporary} access_log off; default_type text/html;\n\
             server {{ listen 127.0.0.1:{port}; root {}; }} }}\n",
            at("pid"),
            Path::display(folder.path()),
        );
        std::fs::write(at("conf"), text).unwrap();
        ["-e", "stderr", "-c", &at("conf")].map(str::to_owned).to_vec()
    });
    let get = "GET /page.html HTTP/1.1\r\nHost: here\r\n";
    let request = format!("{get}\r\n{get}Range: bytes=0-11\r\nConnection: close\r\n\r\n");
    // nginx takes a half-closed client for one that has left (lingering_close), so it is not half-closed.
    let ask = |port: u16| {
        let mut client = net::connect(port);
        client.write_all(request.as_bytes()).unwrap();
        undated(&net::read_to_fin(&client))
    };
    let direct = ask(port);
    assert!(direct.starts_with("HTTP/1.1 200 OK\r\n") && direct.len() > 650_000);
    assert!(direct.contains("HTTP/1.1 206 Partial Content\r\n"));
    let running = pktcat_line(&format!("forward -x 0 127.0.0.1:{port}")).spawn();
    assert_same(ask(running.port()).as_bytes(), direct.as_bytes());
    let dump = whole_dump(&running);
    assert!(shown(&dump, '>').starts_with("GET /page.html HTTP/1.1..Host: here"), "{dump}");
    assert!(shown(&dump, '<').starts_with("HTTP/1.1 200 OK..Server: nginx"), "{dump}");
}

/// An answer without what differs from second to second.
fn undated(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    text.split_inclusive('\n').filter(|line| !line.starts_with("Date: ")).collect()
}

/// A query for the address of `host.test` (RFC 1035, 4.1).
const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04host\x04test\0\0\x01\0\x01";

fn dnsmasq() -> (Running, u16) {
    start("dnsmasq", |port| {
        let words = format!(
            "--keep-in-foreground --port={port} --listen-address=127.0.0.1 --bind-interfaces --no-resolv \
             --no-hosts --conf-file=/dev/null --pid-file= --user= --address=/host.test/192.0.2.7"
        );
        words.split_whitespace().map(str::to_owned).collect()
    })
}

fn dnsmasq_over_udp() {
    let (_service, port) = dnsmasq();
    let ask = |port: u16| {
        let (socket, _) = net::udp();
        socket.connect(("127.0.0.1", port)).unwrap();
        socket.send(QUERY).unwrap();
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).expect("no answer in time");
        answer[..length].to_vec()
    };
    let direct = ask(port);
    assert!(direct.ends_with(&[192, 0, 2, 7]), "{direct:?}");
    let running = pktcat_line(&format!("forward -u -x 0 127.0.0.1:{port}")).spawn();
    assert_same(&ask(running.port()), &direct);
    eventually("the answer to be shown", || {
        shown(&running.stderr_now(), '<').contains(".host.test.").then_some(())
    });
    assert!(shown(&running.stderr_now(), '>').contains(".host.test."));
}

fn dnsmasq_over_tcp() {
    let (_service, port) = dnsmasq();
    let mut request = u16::try_from(QUERY.len()).unwrap().to_be_bytes().to_vec();
    request.extend(QUERY);
    let direct = answer(port, &request);
    assert!(direct.ends_with(&[192, 0, 2, 7]), "{direct:?}");
    let (came, dump) = forwarded(port, &request);
    assert_same(&came, &direct);
    assert!(shown(&dump, '<').contains(".host.test."), "{dump}");
}
