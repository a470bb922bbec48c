//! The beginners' text: two small Python programs, a client and a server, as every introduction to
//! sockets has them. pktcat takes the place of either, over TCP and over UDP.

use libtest_mimic::Trial;

use crate::tests;
use crate::util::harness::Need;
use crate::util::{Input, Running, find_program, pktcat, pktcat_line, program};

/// Takes one client after the other: reads once, answers, closes.
const TCP_SERVER: &str = r#"
import socket

server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.bind(("127.0.0.1", 0))
server.listen()
print("port", server.getsockname()[1], flush=True)
while True:
    client, address = server.accept()
    request = client.recv(4096)
    print("client says:", request.decode(), flush=True)
    client.sendall(b"Hello, Client!")
    client.close()
"#;

/// Says something to the server and prints its answer.
const TCP_CLIENT: &str = r#"
import socket, sys

client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
client.settimeout(30)
client.connect(("127.0.0.1", int(sys.argv[1])))
client.sendall(b"Hello, Server!")
response = client.recv(4096)
client.close()
print("server says:", response.decode())
"#;

/// Answers every datagram.
const UDP_SERVER: &str = r#"
import socket

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
print("port", server.getsockname()[1], flush=True)
while True:
    request, address = server.recvfrom(4096)
    print("client says:", request.decode(), flush=True)
    server.sendto(b"Hello, Client!", address)
"#;

/// Sends one datagram and prints the answer.
const UDP_CLIENT: &str = r#"
import socket, sys

client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(30)
client.sendto(b"Hello, Server!", ("127.0.0.1", int(sys.argv[1])))
response, address = client.recvfrom(4096)
print("server says:", response.decode())
"#;

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        tcp_pktcat_is_the_client needs [Need::Program("python3")],
        tcp_pktcat_is_the_server needs [Need::Program("python3")],
        udp_pktcat_is_the_client needs [Need::Program("python3")],
        udp_pktcat_is_the_server needs [Need::Program("python3")],
        tcp_pktcat_is_both,
        udp_pktcat_is_both,
    ]
}

fn python(source: &str, args: &[&str]) -> Running {
    let python = find_program("python3").unwrap();
    program(python, ["-c", source].iter().chain(args)).spawn()
}

/// Waits for the Python server's line and gives its port.
fn python_port(server: &Running) -> String {
    let ready =
        |text: &str| text.strip_prefix("port ")?.split_once('\n').map(|(port, _)| port.to_owned());
    crate::util::eventually("the Python server's port", || {
        ready(&String::from_utf8_lossy(&server.stdout_now()))
    })
}

/// Waits until the Python server has printed what so many clients say.
#[track_caller]
fn expect_heard(server: &Running, clients: usize) {
    let wanted = "client says: Hello, Server!\n".repeat(clients);
    crate::util::eventually("the Python server's lines", || {
        String::from_utf8_lossy(&server.stdout_now()).ends_with(&wanted).then_some(())
    });
}

/// `printf TEXT | pktcat ...`
fn says(text: &str, line: &str) -> crate::util::Cmd {
    pktcat_line(line).stdin(Input::Bytes(text.into()))
}

fn tcp_pktcat_is_the_client() {
    let server = python(TCP_SERVER, &[]);
    let port = python_port(&server);
    // Its accept loop serves more than one.
    for _ in 0..3 {
        let ended =
            says("Hello, Server!", &format!("connect 127.0.0.1 {port}")).run().expect_code(0);
        assert_eq!((ended.stdout_text().as_str(), ended.stderr.as_str()), ("Hello, Client!", ""));
    }
    expect_heard(&server, 3);
    // A connection that says nothing is answered too: the server's recv returns at the FIN.
    let ended = pktcat(["connect", "127.0.0.1", &port]).run().expect_code(0);
    assert_eq!(ended.stdout_text(), "Hello, Client!");
}

fn tcp_pktcat_is_the_server() {
    let server = says("Hello, Client!", "listen 127.0.0.1 0").spawn();
    let client = python(TCP_CLIENT, &[&server.port().to_string()]);
    assert_eq!(client.wait().expect_code(0).stdout_text(), "server says: Hello, Client!\n");
    assert_eq!(server.wait().expect_code(0).stdout_text(), "Hello, Server!");
}

fn udp_pktcat_is_the_client() {
    let server = python(UDP_SERVER, &[]);
    let port = python_port(&server);
    // Once until nothing more comes for a second, as without options, and once until the answer is there.
    for options in ["", "--count 1"] {
        let ended = says("Hello, Server!", &format!("connect -u {options} 127.0.0.1 {port}")).run();
        let ended = ended.expect_code(0);
        assert_eq!((ended.stdout_text().as_str(), ended.stderr.as_str()), ("Hello, Client!", ""));
    }
    expect_heard(&server, 2);
}

fn udp_pktcat_is_the_server() {
    let server = says("Hello, Client!", "listen -u -q 500ms 127.0.0.1 0").spawn();
    let client = python(UDP_CLIENT, &[&server.port().to_string()]);
    assert_eq!(client.wait().expect_code(0).stdout_text(), "server says: Hello, Client!\n");
    assert_eq!(server.wait().expect_code(0).stdout_text(), "Hello, Server!");
}

fn tcp_pktcat_is_both() {
    let server = says("Hello, Client!", "listen 127.0.0.1 0").spawn();
    let port = server.port();
    let client = says("Hello, Server!", &format!("connect 127.0.0.1:{port}")).run().expect_code(0);
    assert_eq!(client.stdout_text(), "Hello, Client!");
    assert_eq!(server.wait().expect_code(0).stdout_text(), "Hello, Server!");
}

fn udp_pktcat_is_both() {
    let server = says("Hello, Client!", "listen -u -q 500ms 127.0.0.1 0").spawn();
    let port = server.port();
    let client =
        says("Hello, Server!", &format!("connect -u 127.0.0.1:{port}")).run().expect_code(0);
    assert_eq!(client.stdout_text(), "Hello, Client!");
    assert_eq!(server.wait().expect_code(0).stdout_text(), "Hello, Server!");
}
