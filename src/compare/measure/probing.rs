//! Finds out by datagrams how much passes in one packet, after the messages and beside their account.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;

use mio::Interest;
use socket2::Socket;

use crate::compare::measure::account::At;
use crate::compare::measure::run::{Runner, Turn};
use crate::compare::measure::unfragmented::{self, Largest, Search, Step, Unfragmented, Why};
use crate::error::Result;
use crate::io::latch::Latch;
use crate::net::address::destination;
use crate::net::options::Options;
use crate::net::socket;
use crate::setup::dial;
use crate::sys::{self, Arrival};

/// Bytes of buffer: more than the longest datagram has.
const ROOM: usize = 64 * 1024;

/// Finds out the largest payload that passes in one packet to an echoing peer and back. `slowest` is how
/// long its slowest reply took; `None` when it does not answer any more.
///
/// To a loopback address nothing is sent: the packets have no path but one device, and the system knows
/// it. The built-in peer of the lab is asked like any other: the lab's packets are impaired, too.
///
/// # Errors
/// When a signal stops the run. Everything else is a reason for not knowing.
pub(crate) fn find(
    runner: &mut Runner<'_>,
    peer: SocketAddr,
    slowest: Option<At>,
    limit: At,
) -> Result<Unfragmented> {
    let options = Options { dont_fragment: true, ..Options::default() };
    let from = dial::From { options, ..dial::From::default() };
    let socket = match dial::connect_datagram(&[peer], &from, runner.session()) {
        Ok((socket, _)) => socket,
        Err(error) => return Ok(Unfragmented::unknown(Why::Failed(error.to_string()))),
    };
    let Ok(mtu) = sys::path_mtu(&socket, peer) else {
        return Ok(Unfragmented::unknown(Why::NotTold));
    };
    if destination(peer.ip()).is_loopback() {
        let bytes = unfragmented::payload(peer, mtu) as u64;
        return Ok(Unfragmented::both(Largest::Bytes(bytes)));
    }
    let Some(slowest) = slowest else { return Ok(Unfragmented::unknown(Why::NoReplies)) };
    let latch = match runner.session().reactor.watch(&socket, Interest::READABLE) {
        Ok(latch) => latch,
        Err(cause) => return Ok(Unfragmented::unknown(Why::Failed(cause.to_string()))),
    };
    let patience = unfragmented::patience(limit, slowest);
    let mut prober = Prober::new(socket, latch, peer);
    let mut search = Search::new(peer, mtu, patience, At::ZERO);
    let found = runner.take_turns(|now| Ok(prober.turn(&mut search, now)));
    let (socket, latch) = (&prober.socket, &prober.latch);
    runner.session().reactor.forget(socket, latch);
    found
}

/// The socket for the search, apart from that of the messages.
struct Prober {
    socket: Socket,
    latch: Rc<Latch>,
    peer: SocketAddr,
    /// Whether the system tells in how many packets an echo came.
    tells: bool,
    /// What is sent: as much from the beginning as the datagram is long.
    noise: Vec<u8>,
    buffer: Vec<u8>,
}

impl Prober {
    fn new(socket: Socket, latch: Rc<Latch>, peer: SocketAddr) -> Self {
        let tells = sys::tell_fragments(&socket, peer.is_ipv6()).is_ok();
        let mut random = fastrand::Rng::new();
        let noise = (0..ROOM).map(|_| random.u8(..)).collect();
        Self { socket, latch, peer, tells, noise, buffer: vec![0; ROOM] }
    }

    fn turn(&mut self, search: &mut Search, now: At) -> Turn<Unfragmented> {
        let given_up = |why| Turn::Over(Unfragmented::unknown(why));
        match self.receive(search) {
            Ok(None) => {}
            Ok(Some(found)) => return Turn::Over(found),
            Err(why) => return given_up(why),
        }
        if let Ok(mtu) = sys::path_mtu(&self.socket, self.peer) {
            search.path(mtu, now);
        }
        match search.next(now) {
            Step::GiveUp(why) => given_up(why),
            Step::Wait(until) => Turn::Until(until),
            Step::Send(size) => match (&self.socket).write(&self.noise[..size]) {
                Ok(_) => Turn::Busy,
                Err(cause) => match self.failed(&cause, search) {
                    Some(why) => given_up(why),
                    None => Turn::Busy,
                },
            },
        }
    }

    /// Receives what has come, up to the echo.
    fn receive(&mut self, search: &mut Search) -> std::result::Result<Option<Unfragmented>, Why> {
        while self.latch.readable() {
            match self.receive_one() {
                Ok(Arrival { length, pieces }) => {
                    let is_echo = length > 0 && self.noise.starts_with(&self.buffer[..length]);
                    let pieces = self.tells.then_some(pieces);
                    if let Some(found) = search.came(length, pieces).filter(|_| is_echo) {
                        return Ok(Some(found));
                    }
                }
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                    self.latch.not_readable();
                }
                Err(cause) => self.failed(&cause, search).map_or(Ok(()), Err)?,
            }
        }
        Ok(None)
    }

    fn receive_one(&mut self) -> io::Result<Arrival> {
        sys::receive_telling(&self.socket, &mut self.buffer)
    }

    /// What an error of the socket means for the search; the reason if it ends it.
    fn failed(&self, cause: &io::Error, search: &mut Search) -> Option<Why> {
        match cause.raw_os_error() {
            Some(libc::EMSGSIZE) => {
                search.refused();
                // Who said it does not matter: the system believes it or not.
                while let Ok(Some(_)) = sys::next_icmp(&self.socket) {}
                None
            }
            // It is sent again soon.
            Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM | libc::EINTR) => None,
            _ => {
                let error = socket::datagram_failed(&self.socket, "send", &self.peer.into(), cause);
                error.map(|error| Why::Failed(error.to_string()))
            }
        }
    }
}
