//! One TCP client of a hub: its socket, the queue of bytes to be sent, and the state of both halves of
//! the connection.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::engine::ends::{OurFin, Standing as _};
use crate::engine::flow::{BULK, Sink as _};
use crate::engine::framing::Assembler;
use crate::engine::stream::Stream;
use crate::error::Result;
use crate::io::latch::Latch;
use crate::io::progress::Progress;
use crate::observe::tap::Link;

/// Bytes in the queue of a client. The queues of many clients share the memory of one piece.
#[derive(Debug)]
struct Piece {
    bytes: Rc<[u8]>,
    sent: usize,
}

/// The sending half of a client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendHalf {
    /// More bytes may be queued.
    Open,
    /// No more bytes will be queued; the FIN is sent after those that are.
    Closing,
    /// The FIN is sent.
    Closed,
}

/// How much of the role's [`Reply`](super::role::Reply) has been queued for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing, as the client has not sent anything yet.
    Unasked,
    /// So many bytes of it.
    Begun(u64),
    /// All of it.
    Whole,
}

/// A connected client.
#[derive(Debug)]
pub(super) struct Client {
    stream: Stream,
    queue: VecDeque<Piece>,
    /// Bytes in the queue that have not been sent.
    queued: usize,
    /// Whether the queue was once long, and the send buffer has been enlarged for that.
    bulky: bool,
    /// Cuts received bytes into messages; created when the first arrive.
    pub assembler: Option<Box<Assembler>>,
    /// The sending half.
    pub sending: SendHalf,
    /// Whether the client's FIN has been received.
    pub ended: bool,
    /// How far the role's answer to it has come.
    pub answer: Answer,
    /// Since when the queue has been too full without any byte being sent.
    pub stuck: Option<Instant>,
    /// Bytes that the client's kernel had not acknowledged at that time.
    unacknowledged: u32,
    /// Whether it is in the list of clients to be served.
    pub listed: bool,
}

impl Client {
    /// A client that has just connected.
    #[must_use]
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            queue: VecDeque::new(),
            queued: 0,
            bulky: false,
            assembler: None,
            sending: SendHalf::Open,
            ended: false,
            answer: Answer::Unasked,
            stuck: None,
            unacknowledged: 0,
            listed: false,
        }
    }

    /// The readiness of its socket.
    #[must_use]
    pub(super) fn latch(&self) -> &Latch {
        self.stream.latch()
    }

    /// Its connection, for messages and observers.
    #[must_use]
    pub(super) fn link(&self) -> &Link {
        self.stream.link()
    }

    /// Bytes of its unfinished message.
    #[must_use]
    pub(super) fn held(&self) -> usize {
        self.assembler.as_ref().map_or(0, |assembler| assembler.held())
    }

    /// Bytes in its queue that have not been sent.
    #[must_use]
    pub(super) fn queued(&self) -> usize {
        self.queued + self.stream.held()
    }

    /// Whether more bytes may be queued for it.
    #[must_use]
    pub(super) fn is_open(&self) -> bool {
        self.sending == SendHalf::Open
    }

    /// Whether it has yet to get the rest of its answer that is not queued, or the FIN after it.
    #[must_use]
    pub(super) fn is_being_answered(&self) -> bool {
        match self.answer {
            Answer::Unasked => false,
            Answer::Begun(_) => self.sending != SendHalf::Closed,
            Answer::Whole => self.sending == SendHalf::Closing,
        }
    }

    /// Whether both halves are closed.
    #[must_use]
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.sending == SendHalf::Closed
    }

    /// Records that its queue is too full and others wait for it; the time counts from the first call.
    pub(super) fn set_stuck(&mut self, now: Instant) {
        if self.stuck.is_none() {
            self.stuck = Some(now);
            self.unacknowledged = self.stream.unacknowledged().unwrap_or(0);
        }
    }

    /// Whether others have waited for it for `patience`, and it has taken nothing in that time. Bytes that
    /// its kernel acknowledges count as taken: a slow client may take some long before the send buffer has
    /// room for more of the queue.
    pub(super) fn has_stalled(&mut self, patience: Duration, now: Instant) -> bool {
        let Some(since) = self.stuck else { return false };
        match self.stream.unacknowledged() {
            Some(left) if left < self.unacknowledged => {
                self.unacknowledged = left;
                self.stuck = Some(now);
                false
            }
            _ => now >= since + patience,
        }
    }

    /// Bytes that are queued, or sent and not acknowledged by its kernel.
    pub(super) fn missed(&self) -> usize {
        self.queued + self.stream.unacknowledged().unwrap_or(0) as usize
    }

    /// Has the socket send a reset when it is closed, because a stream that is cut off must not look
    /// complete.
    pub(super) fn abort(&self) {
        self.stream.abort();
    }

    /// It is told that there is no more, as far as that needs no waiting.
    pub(super) fn conclude(&mut self) {
        if self.sending != SendHalf::Closed {
            self.stream.conclude();
        }
    }

    /// Whether its end was that of all it had to send.
    ///
    /// # Errors
    /// When it may have been cut off.
    pub(super) fn check_end(&self) -> Result<()> {
        self.stream.is_whole()
    }

    /// It has left, or is made to leave.
    pub(super) fn over(&self) {
        self.stream.over();
    }

    /// Its FIN has come, and more may be sent to it: from now on the system asks whether it is still there.
    pub(super) fn probe(&self) {
        self.stream.probe_peer();
    }

    /// Whether it is gone after its FIN, and misses nothing.
    fn has_left(&self) -> bool {
        let fin = OurFin::NotSent;
        let farewell = self.stream.farewell(fin);
        self.queued == 0 && farewell.is_some_and(|farewell| farewell.is_in_peace(fin))
    }

    /// Adds bytes to the queue.
    pub(super) fn push(&mut self, bytes: &Rc<[u8]>) {
        if !bytes.is_empty() {
            self.queued += bytes.len();
            self.queue.push_back(Piece { bytes: Rc::clone(bytes), sent: 0 });
        }
        if self.queued >= BULK && !self.bulky {
            self.bulky = true;
            self.stream.widen();
        }
    }

    /// Sends from the queue as much as there is room for, and the FIN after the last byte if that is due.
    /// `Moved(0)` when the queue is empty.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(super) fn flush(&mut self) -> Result<Progress> {
        let mut moved = 0;
        // What was taken before leaves first.
        if self.stream.flush()? != Progress::End {
            return Ok(Progress::Blocked);
        }
        while let Some(piece) = self.queue.front_mut() {
            let rest = &piece.bytes[piece.sent..];
            let n = match self.stream.send(rest)? {
                Progress::Moved(n) if n > 0 => n,
                other if moved == 0 => return Ok(other),
                _ => break,
            };
            moved += n;
            self.queued -= n;
            self.stuck = None;
            if n == rest.len() {
                self.queue.pop_front();
            } else {
                piece.sent += n;
            }
        }
        if self.queue.is_empty() {
            // Frees the memory of the queue: there may be thousands of idle clients.
            self.queue = VecDeque::new();
            if self.sending == SendHalf::Closing && self.stream.close_write()? == Progress::End {
                self.sending = SendHalf::Closed;
            }
        }
        Ok(Progress::Moved(moved))
    }

    /// Sends bytes without copying them into the queue, as far as there is room; only the rest is queued.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let mut sent = 0;
        while self.queue.is_empty() && sent < bytes.len() {
            match self.stream.send(&bytes[sent..])? {
                Progress::Moved(n) if n > 0 => sent += n,
                _ => break,
            }
        }
        if sent < bytes.len() {
            self.push(&Rc::from(&bytes[sent..]));
        }
        Ok(())
    }

    /// Reads what the client has sent; `End` at its FIN, and `Blocked` after that.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<Progress> {
        if self.ended {
            // After a client's FIN reading does not report that it is gone, and there may be nothing to send,
            // so that no other call would.
            if self.sending != SendHalf::Closed && self.stream.has_failed() {
                if !self.has_left() {
                    return Err(self.stream.failure());
                }
                self.sending = SendHalf::Closed;
            }
            return Ok(Progress::Blocked);
        }
        let progress = self.stream.receive(buffer)?;
        self.ended = progress == Progress::End;
        Ok(progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_idle_clients_take_little_memory() {
        // With what the allocator adds, one of its pieces of 128 bytes.
        assert!(size_of::<Client>() <= 120, "{} bytes", size_of::<Client>());
    }
}
