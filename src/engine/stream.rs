//! A connected byte stream: TCP, or TLS over it.
//!
//! TCP's urgent data is no part of what is received: SO_OOBINLINE is off, as it is by default, so
//! that the urgent byte is no part of the stream, and it is never asked for (tcp(7), "urgent data").
//! What comes before and after it is received like everything else. That is what other netcats do;
//! with SO_OOBINLINE the kernel's idea of which byte is meant would be in the payload (RFC 6093,
//! section 3).

mod channel;
pub(crate) mod tls;
mod transport;

pub(crate) use transport::Transport;

use std::io;
use std::rc::Rc;

use socket2::Socket;

use channel::Channel;
use tls::{BareFin, Ending, Session};

use crate::engine::batch::Batch;
use crate::engine::ends::{Farewell, Learned, OurFin, Standing};
use crate::engine::flow::{Allowance, Sink, Source};
use crate::error::{Error, Result, Status};
use crate::io::latch::Latch;
use crate::io::progress::Progress;
use crate::io::splice_end::SpliceEnd;
use crate::observe::course::Measured;
use crate::observe::tap::{Activity, Event, Link, Side, Tap};
use crate::sys::TcpState;

/// A connected, non-blocking stream socket. Observers are told what passes and what happens to it.
#[derive(Debug)]
pub(crate) struct Stream {
    channel: Channel,
    link: Rc<Link>,
    tap: Rc<Tap>,
}

impl Stream {
    /// Takes a connected, non-blocking socket that the reactor already watches.
    #[must_use]
    pub(crate) fn new(socket: Socket, latch: Rc<Latch>, link: Rc<Link>, tap: Rc<Tap>) -> Self {
        Self { channel: Channel::Plain(Transport::new(socket, latch)), link, tap }
    }

    /// The same connection with TLS over it, whose [handshake](Self::handshake) is the next to be
    /// done. What `connection` is told to trust is not looked at here.
    #[must_use]
    pub(crate) fn secured(self, connection: rustls::Connection, bare_fin: BareFin) -> Self {
        let channel = match self.channel {
            Channel::Plain(transport) => {
                Channel::Tls(Box::new(Session::new(transport, connection, bare_fin)))
            }
            // There is no TLS inside TLS.
            tls @ Channel::Tls(_) => tls,
        };
        Self { channel, ..self }
    }

    /// Goes on with the handshake; `End` once it is complete, or none is needed.
    ///
    /// # Errors
    /// When the peers cannot agree, or the connection is broken.
    pub(crate) fn handshake(&mut self) -> io::Result<Progress> {
        match &mut self.channel {
            Channel::Plain(_) => Ok(Progress::End),
            Channel::Tls(session) => session.handshake(),
        }
    }

    /// What was agreed with the peer, where there is TLS.
    #[must_use]
    pub(crate) fn agreed(&self) -> Option<&rustls::Connection> {
        match &self.channel {
            Channel::Plain(_) => None,
            Channel::Tls(session) => Some(session.connection()),
        }
    }

    /// The socket, for what is said on it before the payload.
    #[must_use]
    pub(crate) fn transport(&self) -> &Transport {
        self.channel.transport()
    }

    /// Tells observers that something has happened.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.tap.event(event);
    }

    /// Who the two ends are.
    #[must_use]
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Its readiness.
    #[must_use]
    pub(crate) fn latch(&self) -> &Rc<Latch> {
        self.transport().latch()
    }

    /// How much has passed.
    #[must_use]
    pub(crate) fn activity(&self) -> Activity {
        self.link.activity()
    }

    /// Receives what has come; `End` at the peer's FIN.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Result<Progress> {
        let progress =
            self.channel.receive(buffer).map_err(|cause| self.broken("receive", &cause))?;
        match progress {
            Progress::Moved(n) if n > 0 => self.tap.received(&self.link, &buffer[..n], None),
            Progress::End => self.tap.event(&Event::PeerClosed(&self.link)),
            // Interrupted by a signal: the loop comes round again at once.
            Progress::Moved(_) | Progress::Blocked => {}
        }
        Ok(progress)
    }

    /// Sends what there is room for.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<Progress> {
        let progress = self.channel.send(bytes).map_err(|cause| self.broken("send", &cause))?;
        if let Progress::Moved(n) = progress
            && n > 0
        {
            self.tap.sent(&self.link, &bytes[..n]);
        }
        Ok(progress)
    }

    /// Closes the sending half: the peer reads an end, receiving goes on. `End` once that is done;
    /// anything else means that data has to be sent before, and that this has to be called again.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn close_write(&mut self) -> Result<Progress> {
        // The peer's FIN may have come without having been read.
        if self.link.course.closed_first().is_none() && self.transport().peer_has_closed() {
            self.link.course.closed_by(Side::Peers);
        }
        let progress = self.channel.close_write().map_err(|cause| match cause.raw_os_error() {
            // What is no longer connected has been reset, and a read has met that already.
            Some(libc::ENOTCONN) => {
                self.broken("send", &io::Error::from_raw_os_error(libc::ECONNRESET))
            }
            _ => self.broken("send", &cause),
        })?;
        if progress == Progress::End {
            self.tap.event(&Event::WeClosed(&self.link));
        }
        Ok(progress)
    }

    /// Ends our half as far as that can be done without waiting, where closing the socket alone would
    /// not say that nothing is missing.
    pub(crate) fn conclude(&mut self) {
        if let Channel::Tls(session) = &mut self.channel {
            // It is about to be closed, whatever this meets.
            let _ = session.close_write();
        }
    }

    /// Bytes that have been taken to be sent and not yet handed to the system.
    #[must_use]
    pub(crate) fn held(&self) -> usize {
        self.channel.held()
    }

    /// The peer's FIN has come and this side goes on: from now on the system asks whether the peer is still
    /// there. (A local socket tells unasked.)
    pub(crate) fn probe_peer(&self) {
        if self.link.is_tcp() {
            self.transport().probe_peer();
        }
    }

    /// Closing it will be a reset: a stream that is cut off must not look like one that is whole.
    /// (A local socket knows no resets.)
    pub(crate) fn abort(&self) {
        if self.transport().abort().is_ok() && self.link.is_tcp() {
            self.tap.event(&Event::WeReset(&self.link));
        }
    }

    /// Closing it will be a reset, which is the decision of a forwarder and was passed on from nobody.
    pub(crate) fn cut_off(&self) {
        if self.link.is_tcp() {
            self.tap.event(&Event::CutOff(&self.link));
        }
        self.abort();
    }

    /// The connection is over, however it ended.
    pub(crate) fn over(&self) {
        if self.link.is_tcp() {
            if let Some(counts) = self.transport().counts() {
                let (round_trip, retransmissions) = (counts.round_trip, counts.retransmissions);
                self.link.course.set_measured(Measured { round_trip, retransmissions });
            }
            // Whoever has closed neither half closes both now.
            let us = if self.link.forwarded.is_some() { Side::Between } else { Side::Ours };
            self.link.course.closed_by(us);
        }
        self.tap.event(&Event::Closed(&self.link));
    }

    /// Bytes sent that the peer's system has not acknowledged; `None` when ours does not tell.
    #[must_use]
    pub(crate) fn unacknowledged(&self) -> Option<u32> {
        self.channel.unacknowledged()
    }

    /// Whether an event has reported that the connection has failed, or that both halves are closed.
    #[must_use]
    pub(crate) fn has_failed(&self) -> bool {
        self.latch().failed()
    }

    /// Why a connection [has failed](Self::has_failed) after the peer's FIN, when reading does not
    /// report it any more.
    #[must_use]
    pub(crate) fn failure(&self) -> Error {
        let cause = self.transport().take_error().unwrap_or_else(Some);
        self.broken("receive", &cause.unwrap_or(io::ErrorKind::BrokenPipe.into()))
    }

    /// Whether reading has met nothing more for now.
    #[must_use]
    pub(crate) fn is_drained(&self) -> bool {
        self.channel.is_drained()
    }

    /// What a failed call on the connection is to the user; observers are told of a reset.
    pub(crate) fn broken(&self, what: &str, cause: &io::Error) -> Error {
        let tls = cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(failure) = tls {
            let why = tls::reason(failure);
            let error = Error::new(Status::Tls, "tls", self.link.to_string(), why);
            return tls::advice(failure).into_iter().fold(error, Error::hint);
        }
        let error = Error::connection(what, &self.link, cause);
        if error.status == Status::Broken {
            self.tap.event(&Event::Reset(&self.link));
        }
        error
    }

    /// What bytes may be spliced through, unless somebody wants to see them.
    fn as_splice_end(&self) -> Option<SpliceEnd<'_>> {
        if self.tap.is_watched() { None } else { self.channel.splice_end() }
    }

    /// Whether the connection is unbroken.
    fn standing(&self) -> Result<()> {
        match self.transport().take_error() {
            Ok(Some(cause)) => Err(self.broken("send", &cause)),
            _ => Ok(()),
        }
    }
}

impl Standing for Stream {
    /// After the peer's FIN everything is acknowledged when the connection is closed (RFC 9293, 3.3.2);
    /// before, when our FIN is acknowledged.
    fn has_settled(&self) -> Result<bool> {
        if self.channel.is_concluded() {
            return Ok(true);
        }
        let state = self.channel.state();
        self.standing()?;
        Ok(!matches!(state, Some(TcpState::Open | TcpState::FinSent)))
    }

    fn has_acknowledged(&self) -> Result<bool> {
        let waiting = self.unacknowledged();
        self.standing()?;
        Ok(!matches!(waiting, Some(1..)))
    }

    fn check(&self) -> Result<()> {
        if self.has_failed() { self.standing() } else { Ok(()) }
    }

    fn is_whole(&self) -> Result<()> {
        match self.channel.ending() {
            Ending::Whole => Ok(()),
            Ending::CutOff => {
                let why = "the peer's FIN came without TLS's close_notify: the end may be missing";
                Err(Error::new(Status::Broken, "receive", self.link.to_string(), why)
                    .hint("--accept-fin takes it for an end like any other"))
            }
        }
    }

    fn farewell(&self, fin: OurFin) -> Option<Farewell> {
        // The answer to our FIN may be here before a wake-up tells of it.
        let may_be_gone = self.has_failed() || fin == OurFin::Sent;
        if !may_be_gone || self.transport().is_connected() {
            return None;
        }
        let learned = match self.transport().has_been_asked() {
            true => Learned::ByAsking,
            false => Learned::ByReset,
        };
        // Where the system does not tell, nobody can say that nothing is missing.
        let unacknowledged = self.unacknowledged().unwrap_or(u32::MAX);
        Some(Farewell { learned, unacknowledged })
    }
}

impl Source for Stream {
    fn fill(&mut self, batch: &mut Batch) -> Result<Progress> {
        let progress = self.receive(batch.spare())?;
        if let Progress::Moved(n) = progress
            && n > 0
        {
            batch.filled(n);
            batch.cut(n, n);
        }
        Ok(progress)
    }

    fn splice_end(&self) -> Option<SpliceEnd<'_>> {
        self.as_splice_end()
    }

    fn moved(&mut self, bytes: usize) {
        self.tap.received_unseen(Some(&self.link), bytes, 1);
    }

    fn splice_failed(&mut self, cause: &io::Error) -> Error {
        self.broken("receive", cause)
    }
}

impl Sink for Stream {
    fn drain(&mut self, batch: &mut Batch, allowed: Allowance) -> Result<Progress> {
        let mut moved = 0;
        let mut messages = 0;
        while let Some((_, bytes)) = batch.front() {
            if bytes.is_empty() {
                // A byte stream has no empty messages to send.
                batch.pop();
                continue;
            }
            if messages == allowed.messages || moved >= allowed.bytes {
                break;
            }
            match self.send(allowed.front(bytes, moved))? {
                // Interrupted: the loop comes round again at once.
                Progress::Moved(0) => return Ok(Progress::Moved(moved)),
                Progress::Moved(n) => {
                    messages += usize::from(n == bytes.len());
                    moved += n;
                    batch.consume(n);
                }
                Progress::Blocked | Progress::End => break,
            }
        }
        Ok(if moved == 0 && !batch.is_empty() { Progress::Blocked } else { Progress::Moved(moved) })
    }

    fn flush(&mut self) -> Result<Progress> {
        self.channel.flush().map_err(|cause| self.broken("send", &cause))
    }

    fn widen(&mut self) {
        self.transport().expect_bulk();
    }

    fn splice_end(&self) -> Option<SpliceEnd<'_>> {
        self.as_splice_end()
    }

    fn moved(&mut self, bytes: usize) {
        self.tap.sent_unseen(Some(&self.link), bytes, 1);
    }

    fn splice_failed(&mut self, cause: &io::Error) -> Option<Error> {
        Some(self.broken("send", cause))
    }
}
