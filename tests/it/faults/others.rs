//! Scenes of the commands that measure: `scan` and `compare`.

use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::tracing::{Ending, Fault, Seen, Traced};
use crate::util::{net, pktcat_line};

const PORTS: usize = 11;

/// Ports that are all open.
pub(super) fn scan_tcp(options: &str, fault: Option<&Fault>) -> Seen {
    let open: Vec<TcpListener> = (0..PORTS).map(|_| net::listener().0).collect();
    let ports: Vec<u16> = open.iter().map(|one| one.local_addr().unwrap().port()).collect();
    scan(&format!("scan -w 300ms {options}"), &ports, fault)
}

/// Ports that all answer.
pub(super) fn scan_udp(options: &str, fault: Option<&Fault>) -> Seen {
    let open: Vec<UdpSocket> = (0..PORTS).map(|_| net::udp().0).collect();
    let ports: Vec<u16> = open.iter().map(|one| one.local_addr().unwrap().port()).collect();
    let over = Arc::new(AtomicBool::new(false));
    let answering: Vec<_> = open
        .into_iter()
        .map(|socket| {
            let over = Arc::clone(&over);
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    if let Ok((_, from)) = socket.recv_from(&mut [0; 100]) {
                        drop(socket.send_to(b"here", from));
                    }
                }
            })
        })
        .collect();
    let seen = scan(&format!("scan -u -w 300ms --send hi {options}"), &ports, fault);
    over.store(true, Ordering::Relaxed);
    answering.into_iter().for_each(|one| one.join().unwrap());
    seen
}

fn scan(words: &str, ports: &[u16], fault: Option<&Fault>) -> Seen {
    let list: Vec<_> = ports.iter().map(u16::to_string).collect();
    let traced =
        Traced::start(pktcat_line(&format!("{words} --all 127.0.0.1 {}", list.join(","))), fault);
    let mut seen = traced.finish(Ending::ByItself);
    let text = String::from_utf8_lossy(&seen.stdout).into_owned();
    let found = ports.iter().filter(|port| {
        text.lines().any(|line| {
            line.starts_with(&format!("{port}/")) && line.split(' ').nth(1) == Some("open")
        })
    });
    let found = found.count();
    if found != ports.len() {
        seen.missing.push(format!("stdout: {found} of {} open ports", ports.len()));
    }
    seen
}

/// Probes of a port that is an echo service over both protocols: each has a line, whatever it found.
pub(super) fn ping(options: &str, fault: Option<&Fault>) -> Seen {
    let peer = crate::compare::peer::echo();
    let line = format!("ping --count 5 --interval 20ms -w 300ms {options} 127.0.0.1 {}", peer.port);
    let mut seen = Traced::start(pktcat_line(&line), fault).finish(Ending::ByItself);
    let text = String::from_utf8_lossy(&seen.stdout).into_owned();
    let told = (1..=5).filter(|seq| text.contains(&format!(" seq {seq} "))).count();
    if told != 5 {
        seen.missing.push(format!("stdout: {told} of 5 probes"));
    }
    seen
}

/// Messages over both protocols to the built-in peer.
pub(super) fn compare(options: &str, fault: Option<&Fault>) -> Seen {
    let line = format!("compare --json --count 24 --window 2 -w 300ms {options}");
    let mut seen = Traced::start(pktcat_line(&line), fault).finish(Ending::ByItself);
    let result: Option<Value> = serde_json::from_slice(&seen.stdout).ok();
    let tcp = result.as_ref().map(|result| &result["tcp"]);
    if tcp.is_none_or(|tcp| tcp["sent"] != 24 || tcp["received"] != 24) {
        seen.missing.push(format!("in the table: TCP's messages, {tcp:?}"));
    }
    // A protocol that is refused leaves the other one's column standing.
    let udp = result.as_ref().map(|result| &result["udp"]);
    if udp.is_none_or(|udp| {
        udp["sent"] != 24 && udp["stopped_early"] != true && !seen.stderr.contains("udp")
    }) {
        seen.missing.push("in the table: UDP's messages".to_owned());
    }
    seen
}
