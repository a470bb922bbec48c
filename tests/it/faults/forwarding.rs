//! Scenes of a forwarder: two clients at once, one of which sends much, and one that comes when they
//! have gone.

use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::streams::{PAUSE, PIECE, PIECES, Peer, accept_now};
use super::tracing::{End, Ending, Fault, Repeats, Seen, Traced};
use crate::util::{data::random, net, pktcat_line};

/// So much at once is spliced.
const MUCH: usize = 40_000;
/// How long a connection may take, and what has ended to be seen. Accepting pauses for a second when
/// descriptors run out.
const A_MOMENT: Duration = Duration::from_millis(2_500);

/// A client, and the server's end of its connection.
struct Pair {
    client: Option<Peer>,
    server: Option<Peer>,
    /// What each says, in pieces.
    up: Vec<Vec<u8>>,
    down: Vec<Vec<u8>>,
}

impl Pair {
    fn connect(traced: &Traced, port: Option<u16>, listener: &TcpListener, first: usize) -> Self {
        let says = |seed| {
            let mut pieces = vec![random(seed, first)];
            pieces.extend((1..PIECES as u64).map(|number| random(seed + number, PIECE)));
            pieces
        };
        let client = port.and_then(|port| TcpStream::connect(("127.0.0.1", port)).ok());
        let client = client.map(Peer::new);
        let mut server = None;
        if let Some(client) = &client {
            within_a_moment(traced, || {
                server = accept_now(listener);
                server.is_some() || client.has_ended()
            });
        }
        Self { client, server: server.map(Peer::new), up: says(100), down: says(200) }
    }

    fn say(&self, number: usize) {
        self.client.iter().for_each(|peer| peer.send(&self.up[number]));
        self.server.iter().for_each(|peer| peer.send(&self.down[number]));
    }

    /// Both ends have said everything.
    fn end(&self, traced: &Traced) {
        let peers = || self.client.iter().chain(&self.server);
        peers().for_each(Peer::end);
        within_a_moment(traced, || peers().all(Peer::has_ended));
    }

    /// Looks at what came; whether something is missing at one of the ends.
    fn judge(self, seen: &mut Seen, misled: &mut Option<String>) -> bool {
        let mut spoiled = self.server.is_none();
        let ends = [("server", self.server, self.up), ("client", self.client, self.down)];
        for (name, peer, wanted) in ends {
            let wanted = wanted.concat();
            let (came, clean) = peer.map_or((Vec::new(), false), Peer::received);
            spoiled |= came != wanted;
            if clean && came != wanted {
                *misled = Some(format!("{} of {} bytes and a FIN", came.len(), wanted.len()));
            }
            if !wanted.starts_with(&came) {
                seen.wrong.push(format!("the {name} got other bytes than were sent"));
            }
        }
        spoiled
    }
}

/// Waits until this is so, or is not to be expected any more.
fn within_a_moment(traced: &Traced, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + A_MOMENT;
    while !is_so() && Instant::now() < deadline && traced.running.ended().is_none() {
        thread::sleep(Duration::from_millis(3));
    }
}

/// A forwarder with these options.
pub(super) fn forward(options: &str, fault: Option<&Fault>) -> Seen {
    let (listener, to) = net::listener();
    let cmd = pktcat_line(&format!("forward {options} 0 127.0.0.1:{to}"));
    let mut traced = Traced::start(cmd, fault);
    let port = traced.port();
    let early = [PIECE, MUCH].map(|first| Pair::connect(&traced, port, &listener, first));
    for number in 0..PIECES {
        early.iter().for_each(|pair| pair.say(number));
        thread::sleep(PAUSE);
    }
    traced.idle();
    early.iter().for_each(|pair| pair.end(&traced));
    let late = Pair::connect(&traced, port, &listener, PIECE);
    for number in 0..PIECES {
        late.say(number);
    }
    late.end(&traced);
    traced.idle();

    let mut seen = traced.finish(Ending::BySignal);
    if port.is_none() {
        // Nobody could come.
        return seen;
    }
    let mut misled = None;
    let pairs = early.into_iter().chain([late]);
    let spoiled = pairs.filter_map(|pair| pair.judge(&mut seen, &mut misled).then_some(()));
    let spoiled = spoiled.count();
    // Without this option no end can be reset.
    seen.misled = misled.filter(|_| fault.is_none_or(|fault| fault.call != "setsockopt"));
    match fault {
        None if spoiled > 0 => seen.missing.push(format!("at {spoiled} clients: something")),
        // What keeps it from running at all is for all.
        Some(fault)
            if fault.repeats == Repeats::Once && seen.end == End::Stopped && spoiled > 1 =>
        {
            seen.wrong.push(format!("one failure spoiled {spoiled} clients"));
        }
        _ => {}
    }
    seen
}
