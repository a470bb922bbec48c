//! Probes TCP ports by connecting to them.
//!
//! Over loopback the answer is there before connect(2) returns EINPROGRESS, so a second connect(2)
//! fetches it at once. After a refusal the socket is used again for the next port. That makes two
//! system calls per port; only distant ports need epoll.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::{SockAddr, Socket};

use super::plan::Target;
use super::probe::{Answer, Asked, Job, Prober};
use crate::error::{Error, Result};
use crate::io::latch::Latch;
use crate::io::reactor::Reactor;
use crate::net::address::Protocol;
use crate::net::socket;
use crate::net::socket::said::{self, Said};
use crate::scan::report::{Found, PortState};
use crate::sys::{self, errno::is_no_room};

/// The connections in progress.
pub(super) struct TcpProber {
    targets: Vec<Target>,
    timeout: Duration,
    /// Indexed by the id of the latch.
    pending: Vec<Option<Pending>>,
    in_flight: usize,
    /// When to give a connection up, earliest first. A connection that was answered stays here
    /// until then.
    ends: VecDeque<(Instant, usize, Job)>,
    /// Sockets that can be used again, by target.
    spare: Vec<Vec<Socket>>,
}

struct Pending {
    socket: Socket,
    latch: Rc<Latch>,
    job: Job,
    started: Instant,
}

/// The outcome of a connect(2).
enum ConnectOutcome {
    Waiting,
    /// The socket has been connected, and is of no more use.
    Connected(PortState),
    Answered(PortState),
    NoRoom(io::Error),
    Impossible(io::Error),
}

impl TcpProber {
    pub(super) fn new(targets: Vec<Target>, timeout: Duration) -> Self {
        let spare = targets.iter().map(|_| Vec::new()).collect();
        Self { targets, timeout, pending: Vec::new(), in_flight: 0, ends: VecDeque::new(), spare }
    }

    fn open(&mut self, job: Job, address: SocketAddr) -> io::Result<Socket> {
        if let Some(socket) = self.spare[job.target].pop() {
            return Ok(socket);
        }
        socket::open_plain(address, Protocol::Tcp).or_else(|cause| {
            // The sockets kept for other addresses may be what has used the descriptors up.
            self.spare.iter_mut().for_each(Vec::clear);
            if is_no_room(&cause) { socket::open_plain(address, Protocol::Tcp) } else { Err(cause) }
        })
    }

    fn no_room(&self, address: SocketAddr, cause: &io::Error) -> Result<Asked> {
        // While probes are in flight, there will be room when they end.
        if self.in_flight > 0 { Ok(Asked::NoRoom) } else { Err(failed(address, cause)) }
    }

    /// Collects the answer of a connection, if there is one, and keeps its socket for the next.
    fn check(&mut self, id: usize, reactor: &mut Reactor, answers: &mut Vec<Answer>) -> Result<()> {
        let Some(Some(pending)) = self.pending.get(id) else {
            return Ok(());
        };
        let address = self.targets[pending.job.target].at(pending.job.port);
        let verdict = connect(&pending.socket, address, &address.into());
        if matches!(verdict, ConnectOutcome::Waiting) {
            return Ok(());
        }
        let Some(Pending { socket, latch, job, started }) = self.remove(id) else {
            return Ok(());
        };
        reactor.forget(&socket, &latch);
        let state = match verdict {
            ConnectOutcome::Waiting => return Ok(()),
            ConnectOutcome::Connected(state) => state,
            ConnectOutcome::Answered(state) => {
                self.keep(job, socket, state);
                state
            }
            ConnectOutcome::NoRoom(cause) | ConnectOutcome::Impossible(cause) => {
                return Err(failed(address, &cause));
            }
        };
        answers.push(answer(job, state, started));
        Ok(())
    }

    /// Keeps the socket if it was refused: it can be connected again, unlike one that was
    /// connected.
    fn keep(&mut self, job: Job, socket: Socket, state: PortState) {
        if state == PortState::Closed {
            self.spare[job.target].push(socket);
        }
    }

    fn remove(&mut self, id: usize) -> Option<Pending> {
        let pending = self.pending.get_mut(id)?.take();
        self.in_flight -= usize::from(pending.is_some());
        pending
    }
}

impl Prober for TcpProber {
    fn ask(&mut self, job: Job, reactor: &mut Reactor, answers: &mut Vec<Answer>) -> Result<Asked> {
        let address = self.targets[job.target].at(job.port);
        let socket = match self.open(job, address) {
            Ok(socket) => socket,
            Err(cause) if is_no_room(&cause) => return self.no_room(address, &cause),
            Err(cause) => return Err(failed(address, &cause)),
        };
        let to = SockAddr::from(address);
        let started = Instant::now();
        let mut verdict = connect(&socket, address, &to);
        if matches!(verdict, ConnectOutcome::Waiting) {
            verdict = connect(&socket, address, &to);
        }
        match verdict {
            ConnectOutcome::Waiting => {}
            ConnectOutcome::Connected(state) => {
                answers.push(answer(job, state, started));
                return Ok(Asked::Yes);
            }
            ConnectOutcome::Answered(state) => {
                self.keep(job, socket, state);
                answers.push(answer(job, state, started));
                return Ok(Asked::Yes);
            }
            ConnectOutcome::NoRoom(cause) => return self.no_room(address, &cause),
            ConnectOutcome::Impossible(cause) => return Err(failed(address, &cause)),
        }
        let latch = reactor
            .watch(&socket, Interest::WRITABLE)
            .map_err(|cause| Error::system("poll", &cause))?;
        let id = latch.id();
        if self.pending.len() <= id {
            self.pending.resize_with(id + 1, || None);
        }
        self.pending[id] = Some(Pending { socket, latch, job, started });
        self.in_flight += 1;
        self.ends.push_back((started + self.timeout, id, job));
        Ok(Asked::Yes)
    }

    /// The kernel retransmits a lost SYN by itself.
    fn ask_again(&mut self, _: Instant, _: &mut Vec<Answer>) -> Result<Option<Asked>> {
        Ok(None)
    }

    fn collect(
        &mut self,
        now: Instant,
        reactor: &mut Reactor,
        answers: &mut Vec<Answer>,
    ) -> Result<()> {
        let touched: Vec<usize> = reactor.fired().collect();
        for id in touched {
            self.check(id, reactor, answers)?;
        }
        while let Some(&(end, id, job)) = self.ends.front()
            && end <= now
        {
            self.ends.pop_front();
            // The same port may have been asked again meanwhile.
            let timeout = self.timeout;
            let is_same = |p: &Pending| p.job == job && p.started + timeout == end;
            let is_it = |pending: &Option<Pending>| pending.as_ref().is_some_and(is_same);
            if !self.pending.get(id).is_some_and(is_it) {
                continue;
            }
            // The answer may have come since the last poll.
            self.check(id, reactor, answers)?;
            if let Some(late) = self.remove(id) {
                reactor.forget(&late.socket, &late.latch);
                answers.push(Answer { job, found: Found { state: PortState::Silent, time: None } });
            }
        }
        Ok(())
    }

    fn again_at(&self) -> Option<Instant> {
        None
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn deadline(&self) -> Option<Instant> {
        self.ends.front().map(|(end, ..)| *end)
    }
}

fn answer(job: Job, state: PortState, started: Instant) -> Answer {
    let time = (state != PortState::Silent).then(|| started.elapsed());
    Answer { job, found: Found { state, time } }
}

/// Calls connect(2), for the first time or to learn what has become of the connection.
fn connect(socket: &Socket, address: SocketAddr, to: &SockAddr) -> ConnectOutcome {
    let result = sys::again(|| socket.connect(to));
    let said = said::of_connecting(socket, address, &result);
    let cause = || result.err().unwrap_or_else(|| io::ErrorKind::Other.into());
    match said {
        Said::Waiting => ConnectOutcome::Waiting,
        Said::Open => ConnectOutcome::Connected(PortState::Open),
        Said::Itself => ConnectOutcome::Connected(PortState::Closed),
        Said::Refused => ConnectOutcome::Answered(PortState::Closed),
        Said::Unreachable | Said::Silent => ConnectOutcome::Answered(PortState::Silent),
        Said::NoRoom => ConnectOutcome::NoRoom(cause()),
        Said::Nothing => ConnectOutcome::Impossible(cause()),
    }
}

fn failed(address: SocketAddr, cause: &io::Error) -> Error {
    socket::failure::answered(address, cause)
}
