//! One client of a kept-open listener: its socket, what waits for it, and how far it has come.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::engine::ends::Standing as _;
use crate::engine::flow::{BULK, Sink as _};
use crate::engine::framing::Assembler;
use crate::engine::stream::Stream;
use crate::error::Result;
use crate::io::progress::Progress;
use crate::io::reactor::Latch;
use crate::observe::tap::Link;

/// Bytes that wait for a client; many clients share them.
#[derive(Debug)]
struct Piece {
    bytes: Rc<[u8]>,
    sent: usize,
}

/// The sending half of a client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// More may come to be sent.
    Open,
    /// Nothing more will come; the FIN follows what waits.
    Closing,
    /// The FIN is sent.
    Closed,
}

/// A connected client.
#[derive(Debug)]
pub(super) struct Client {
    stream: Stream,
    queue: VecDeque<Piece>,
    /// Bytes in the queue not yet sent.
    queued: usize,
    /// Whether much has waited in it.
    bulky: bool,
    /// Cuts what it sends into messages; made when it first sends.
    pub assembler: Option<Box<Assembler>>,
    /// The sending half.
    pub sending: Sending,
    /// Whether its FIN has come.
    pub ended: bool,
    /// How much of a ready-made answer has been queued; `None` before its first data.
    pub answered: Option<u64>,
    /// Since when its queue has been full without any of it leaving.
    pub stuck: Option<Instant>,
    /// Bytes its kernel had not acknowledged then.
    unacknowledged: u32,
    /// Whether it is in the list of clients that may have something to do.
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
            sending: Sending::Open,
            ended: false,
            answered: None,
            stuck: None,
            unacknowledged: 0,
            listed: false,
        }
    }

    /// Its readiness.
    #[must_use]
    pub(super) fn latch(&self) -> &Latch {
        self.stream.latch()
    }

    /// Who it is.
    #[must_use]
    pub(super) fn link(&self) -> &Link {
        self.stream.link()
    }

    /// Bytes that its unfinished message takes.
    #[must_use]
    pub(super) fn held(&self) -> usize {
        self.assembler.as_ref().map_or(0, |assembler| assembler.held())
    }

    /// Bytes that wait for it.
    #[must_use]
    pub(super) fn queued(&self) -> usize {
        self.queued + self.stream.held()
    }

    /// Whether it can be sent more.
    #[must_use]
    pub(super) fn is_open(&self) -> bool {
        self.sending == Sending::Open
    }

    /// Whether both halves are closed.
    #[must_use]
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.sending == Sending::Closed
    }

    /// Others wait for it from now on, if they have not been waiting already.
    pub(super) fn set_stuck(&mut self, now: Instant) {
        if self.stuck.is_none() {
            self.stuck = Some(now);
            self.unacknowledged = self.stream.unacknowledged().unwrap_or(0);
        }
    }

    /// Whether others have waited for it for so long and it took nothing meanwhile. A slow one
    /// may take from the kernel's buffer long before that has room for more of the queue.
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

    /// Bytes it was to get that its kernel has not acknowledged.
    pub(super) fn missed(&self) -> usize {
        self.queued + self.stream.unacknowledged().unwrap_or(0) as usize
    }

    /// Closing it will be a reset: a stream that is cut off must not look like one that is whole.
    pub(super) fn abort(&self) {
        self.stream.abort();
    }

    /// It is told that there is no more, as far as that needs no waiting.
    pub(super) fn farewell(&mut self) {
        if self.sending != Sending::Closed {
            self.stream.farewell();
        }
    }

    /// Whether its end was that of all it had to send.
    ///
    /// # Errors
    /// When it may have been cut off.
    pub(super) fn check_end(&self) -> Result<()> {
        self.stream.is_whole()
    }

    /// Adds bytes to what waits for it.
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

    /// Sends what waits; `Moved(0)` when nothing does.
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
            // An idle client keeps no memory for a queue.
            self.queue = VecDeque::new();
            if self.sending == Sending::Closing && self.stream.close_write()? == Progress::End {
                self.sending = Sending::Closed;
            }
        }
        Ok(Progress::Moved(moved))
    }

    /// Sends bytes straight from where they are; what finds no room waits.
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

    /// Reads what it sent; `End` at its FIN.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<Progress> {
        if self.ended {
            return match self.sending {
                // A reset after its FIN: no reading would tell, and nothing may be there to be sent.
                Sending::Open | Sending::Closing if self.stream.has_failed() => {
                    Err(self.stream.failure())
                }
                _ => Ok(Progress::Blocked),
            };
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
