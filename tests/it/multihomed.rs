//! A UDP listener on every address of the machine answers from the one that was asked: to a peer
//! whose socket is connected an answer from elsewhere is no answer (RFC 1122, 4.1.3.5).

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::tests;
use crate::util::harness::Need;
use crate::util::udp::{listening, receive, receive_from};
use crate::util::{Input, PATIENCE, Running, net, pktcat_line, ways};

/// Addresses that every machine has; by itself it would answer from the last.
const OURS: [[u8; 4]; 3] = [[127, 0, 0, 2], [127, 5, 6, 7], [127, 0, 0, 1]];

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        services_answer_from_the_address_asked,
        a_whole_train_goes_back_from_the_address_asked,
        stdin_comes_from_the_address_that_was_written_to,
        the_last_address_counts_for_to_all,
        both_families_are_answered needs [Need::Ipv6],
        the_real_address_is_told,
    ]
}

fn peer() -> UdpSocket {
    net::udp().0
}

/// A listener on every address: for both families, for IPv4 only, and each way.
fn everywhere(options: &str, stdin: fn() -> Input) -> impl Iterator<Item = Running> {
    let each = |family: &str, way: &str| {
        let line = format!("listen {options} {family} {way} 0");
        listening(pktcat_line(&line).stdin(stdin()))
    };
    let all: Vec<_> = ["", "-4"]
        .into_iter()
        .flat_map(|family| ways().iter().map(move |way| each(family, way)))
        .collect();
    all.into_iter()
}

fn services_answer_from_the_address_asked() {
    for role in ["-u --echo", "-u --reply answer", "-u --echo --count 9", "-k -t -u --chargen"] {
        for server in everywhere(role, || Input::Null) {
            let peer = peer();
            for ip in OURS.map(Ipv4Addr::from) {
                let asked = SocketAddr::from((ip, server.port()));
                peer.send_to(b"who?", asked).unwrap();
                assert_eq!(receive_from(&peer).1, asked, "{role}");
            }
        }
    }
}

fn a_whole_train_goes_back_from_the_address_asked() {
    let bytes = crate::util::data::random(7, 300 * 700);
    for way in ways() {
        let server = listening(pktcat_line(&format!("listen -u --echo {way} 0")));
        let line = format!("connect -u -q 300ms --datagram-size 700 {way} 127.0.0.2");
        let client = pktcat_line(&format!("{line} {}", server.port()));
        let ended = client.stdin(Input::Bytes(bytes.clone())).run().expect_code(0);
        // A full buffer may lose some of them, which is not what this is about.
        assert!(
            ended.stdout.len() >= 700 && ended.stdout.len().is_multiple_of(700),
            "nothing came back"
        );
    }
}

fn stdin_comes_from_the_address_that_was_written_to() {
    for options in ["-u -I lines", "-u -I lines --to-all", "-k -t -u -I lines"] {
        for mut server in everywhere(options, || Input::Pipe) {
            let peer = peer();
            peer.connect(("127.0.0.2", server.port())).unwrap();
            peer.send(b"x").unwrap();
            server.wait_stdout(1);
            server.send(b"from there\n");
            assert_eq!(receive(&peer), b"from there", "{options}");
        }
    }
}

fn the_last_address_counts_for_to_all() {
    for mut server in everywhere("-u -I lines --to-all", || Input::Pipe) {
        let (peer, other) = (peer(), peer());
        other.send_to(b"o", ("127.0.0.1", server.port())).unwrap();
        for (round, ip) in OURS.map(Ipv4Addr::from).into_iter().enumerate() {
            let asked = SocketAddr::from((ip, server.port()));
            peer.send_to(b"x", asked).unwrap();
            server.wait_stdout(round + 2);
            server.send(b"to all\n");
            assert_eq!(receive_from(&peer), (b"to all".to_vec(), asked));
            let first = SocketAddr::from(([127, 0, 0, 1], server.port()));
            assert_eq!(receive_from(&other), (b"to all".to_vec(), first));
        }
    }
}

fn both_families_are_answered() {
    for way in ways() {
        let server = listening(pktcat_line(&format!("listen -u --echo {way} 0")));
        for (own, asked) in [("[::1]:0", "::1"), ("127.0.0.1:0", "127.0.0.2")] {
            let peer = UdpSocket::bind(own).unwrap();
            peer.set_read_timeout(Some(PATIENCE)).unwrap();
            peer.connect((asked, server.port())).unwrap();
            peer.send(b"x").unwrap();
            assert_eq!(receive(&peer), b"x", "{asked}");
        }
    }
}

fn the_real_address_is_told() {
    let server = pktcat_line("listen -u --json --count 1 0").spawn();
    let event = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let port = &event(&server.wait_line(r#"{"event":"listening""#))["local_port"];
    let port = u16::try_from(port.as_u64().unwrap()).unwrap();
    peer().send_to(b"x", ("127.0.0.2", port)).unwrap();
    let ended = server.wait().expect_code(0);
    let told = ended.stderr.lines().map(event).find(|event| event["event"] == "peer").unwrap();
    assert_eq!(told["local_address"], "127.0.0.2");
    assert_eq!(told["local_port"], port);
}
