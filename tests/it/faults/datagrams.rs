//! Scenes over UDP: numbered datagrams, each way, bounded so that loopback loses none.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use super::tracing::{Ending, Fault, Seen, Traced};
use crate::util::{Input, net, pktcat_line};

const COUNT: usize = 14;
const PAUSE: Duration = Duration::from_millis(3);

/// What has come to a socket until nothing more comes.
fn drain(socket: &UdpSocket, wait: Duration) -> Vec<Vec<u8>> {
    socket.set_read_timeout(Some(wait)).unwrap();
    let mut all = Vec::new();
    let mut room = [0; 2_000];
    // A refusal tells that the program has closed its socket: what came before it is still there.
    let mut refusals = 0;
    loop {
        match socket.recv(&mut room) {
            Ok(length) => all.push(room[..length].to_vec()),
            Err(error)
                if error.kind() == std::io::ErrorKind::ConnectionRefused && refusals < 50 =>
            {
                refusals += 1;
            }
            Err(_) => return all,
        }
    }
}

/// A listener that prints what comes and sends its standard input to the one it heard.
pub(super) fn listen(options: &str, fault: Option<&Fault>) -> Seen {
    let line = format!("listen -u -q 0.5 -I lines -O lines {options} 127.0.0.1 0");
    let mut traced = Traced::start(pktcat_line(&line).stdin(Input::Pipe), fault);
    let (peer, _) = net::udp();
    if let Some(port) = traced.port() {
        peer.connect(("127.0.0.1", port)).unwrap();
    }
    let mut stdin = traced.running.take_stdin();
    let (mut sent, mut said) = (String::new(), Vec::new());
    for number in 0..COUNT {
        drop(peer.send(format!("up {number}").as_bytes()));
        sent += &format!("up {number}\n");
        drop(stdin.write_all(format!("down {number}\n").as_bytes()));
        said.push(format!("down {number}").into_bytes());
        thread::sleep(PAUSE);
    }
    traced.idle();
    drop(stdin);
    let mut seen = traced.finish(Ending::ByItself);
    let stdout = std::mem::take(&mut seen.stdout);
    seen.compare("stdout", &stdout, sent.as_bytes());
    compare(&mut seen, "at the peer", &drain(&peer, Duration::from_millis(20)), &said);
    seen
}

/// A listener that gives back what comes.
pub(super) fn echo(options: &str, fault: Option<&Fault>) -> Seen {
    let line = format!("listen -u -q 0.5 --echo {options} 127.0.0.1 0");
    let mut traced = Traced::start(pktcat_line(&line), fault);
    let (peer, _) = net::udp();
    if let Some(port) = traced.port() {
        peer.connect(("127.0.0.1", port)).unwrap();
    }
    let mut sent = Vec::new();
    for number in 0..COUNT {
        sent.push(format!("{number}").into_bytes());
        drop(peer.send(&sent[number]));
        thread::sleep(PAUSE);
    }
    traced.idle();
    let mut seen = traced.finish(Ending::ByItself);
    compare(&mut seen, "at the peer", &drain(&peer, Duration::from_millis(20)), &sent);
    seen
}

/// A client that sends lines and prints the answers.
pub(super) fn connect(options: &str, fault: Option<&Fault>) -> Seen {
    let (peer, port) = net::udp();
    let line = format!("connect -u -v -q 0.5 -I lines -O lines {options} 127.0.0.1 {port}");
    let mut traced = Traced::start(pktcat_line(&line).stdin(Input::Pipe), fault);
    traced.wait_line("connected to ");
    let mut stdin = traced.running.take_stdin();
    let (mut said, mut answers) = (Vec::new(), String::new());
    let mut came = Vec::new();
    peer.set_read_timeout(Some(Duration::from_millis(15))).unwrap();
    for number in 0..COUNT {
        drop(stdin.write_all(format!("up {number}\n").as_bytes()));
        said.push(format!("up {number}").into_bytes());
        let mut room = [0; 2_000];
        if let Ok((length, from)) = peer.recv_from(&mut room) {
            came.push(room[..length].to_vec());
            let answer = format!("down {}", came.len());
            if peer.send_to(answer.as_bytes(), from).is_ok() {
                answers += &format!("{answer}\n");
            }
        }
    }
    traced.idle();
    drop(stdin);
    let mut seen = traced.finish(Ending::ByItself);
    came.extend(drain(&peer, Duration::from_millis(5)));
    let stdout = std::mem::take(&mut seen.stdout);
    seen.compare("stdout", &stdout, answers.as_bytes());
    compare(&mut seen, "at the peer", &came, &said);
    seen
}

/// Every datagram, once, in whichever order.
fn compare(seen: &mut Seen, place: &str, came: &[Vec<u8>], sent: &[Vec<u8>]) {
    let distinct: BTreeSet<_> = came.iter().collect();
    if came.len() != sent.len() || distinct != sent.iter().collect() {
        seen.missing.push(format!("{place}: {} of {} datagrams", came.len(), sent.len()));
    }
}
