//! Forwarded clients of which one side has sent its FIN, and the places that they hold.

use std::io::{Read, Write};
use std::net::TcpStream;

use libtest_mimic::Trial;

use super::{forwarder, read_to_reset};
use crate::tests;
use crate::util::data::{assert_same, random};
use crate::util::{net, pktcat_line, ways};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        the_longest_half_closed_gives_up_its_place,
        whoever_has_the_fin_keeps_all_that_came,
        at_the_descriptor_limit_the_half_closed_make_room,
    ]
}

/// The line that says whose place was given up.
fn gave_up(number: u64, client: &TcpStream) -> String {
    let own = client.local_addr().unwrap();
    format!("pktcat: close: #{number} {own}: another client needs the place that it held")
}

fn the_longest_half_closed_gives_up_its_place() {
    for way in ways() {
        let (running, listener) = forwarder(&format!("-v --max-clients 2 {way}"));
        let port = running.port();
        let (one, mut one_server) = (net::connect(port), net::accept(&listener));
        let (other, mut other_server) = (net::connect(port), net::accept(&listener));
        // Not whoever came first, but whoever said first that it has nothing more to say.
        net::finish(&other);
        assert_eq!(net::read_to_fin(&other_server), b"");
        net::finish(&one);
        assert_eq!(net::read_to_fin(&one_server), b"");
        for (server, client) in [(&mut one_server, &one), (&mut other_server, &other)] {
            server.write_all(b"still here").unwrap();
            assert_eq!(net::read_exactly(client, 10), b"still here");
            net::acknowledge(client);
        }
        let mut third = net::connect(port);
        running.wait_line(&gave_up(2, &other));
        // It waited for more, and must not take this for the end of it.
        assert_eq!(read_to_reset(&other), b"");
        running.wait_line("#2 closed, 0 bytes up, 10 bytes down, ");
        let third_server = net::accept(&listener);
        third.write_all(b"at last").unwrap();
        assert_eq!(net::read_exactly(&third_server, 7), b"at last");
        let _fourth = net::connect(port);
        running.wait_line(&gave_up(1, &one));
        assert_eq!(read_to_reset(&one), b"");
        let _fourth_server = net::accept(&listener);
        // Nobody is half-closed any more.
        let fifth = net::connect(port).local_addr().unwrap();
        running.wait_line(&format!("pktcat: accept: {fifth} (tcp): turned away"));
    }
}

fn whoever_has_the_fin_keeps_all_that_came() {
    let (running, listener) = forwarder("--max-clients 1");
    let mut client = net::connect(running.port());
    let mut server = net::accept(&listener);
    client.write_all(b"please").unwrap();
    assert_eq!(net::read_exactly(&server, 6), b"please");
    // The answer fits into what the systems keep for the client, which reads it later.
    let answer = random(1, 100_000);
    server.write_all(&answer).unwrap();
    net::finish(&server);
    let mut first = vec![0; 1000];
    client.read_exact(&mut first).unwrap();
    let newcomer = crate::util::eventually("the place", || {
        let newcomer = net::connect(running.port());
        let is_in = running.stderr_now().contains(&gave_up(1, &client));
        is_in.then_some(newcomer)
    });
    let _server = net::accept(&listener);
    // The server has said all it had to say, and the client did not end.
    assert_eq!(read_to_reset(&server), b"");
    assert_same(&first, &answer[..1000]);
    assert_same(&net::read_to_fin(&client), &answer[1000..]);
    drop(newcomer);
}

fn at_the_descriptor_limit_the_half_closed_make_room() {
    const CLIENTS: u64 = 100;
    let (listener, to) = net::listener();
    let running = pktcat_line(&format!("forward 0 127.0.0.1:{to}"))
        .through(["/bin/sh", "-c", "ulimit -n 128; exec \"$@\"", "sh"])
        .spawn();
    let mut held = Vec::new();
    for _ in 0..CLIENTS {
        let client = net::connect(running.port());
        let server = net::accept(&listener);
        net::finish(&client);
        assert_eq!(net::read_to_fin(&server), b"");
        held.push((client, server));
    }
    for number in 1..=CLIENTS - 64 {
        let index = usize::try_from(number).unwrap() - 1;
        running.wait_line(&gave_up(number, &held[index].0));
    }
    // The last one is there.
    let (client, server) = held.last_mut().unwrap();
    server.write_all(b"answer").unwrap();
    assert_eq!(net::read_exactly(client, 6), b"answer");
}
