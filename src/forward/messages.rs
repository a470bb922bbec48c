//! A stream that carries messages: datagrams of the other side, each with its length before it or as
//! a line.

use crate::engine::framing::{self, Assembler, Format};
use crate::engine::stream::Stream;
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;

/// Bytes that may wait to be sent before its user has to stop, or to lose what comes: a batch of
/// datagrams may exceed it.
const QUEUE: usize = 1 << 20;

/// A stream whose bytes are cut into messages.
pub(super) struct MessageStream {
    stream: Stream,
    format: Format,
    assembler: Assembler,
    queue: Vec<u8>,
    /// Bytes of the queue that have been sent.
    sent: usize,
}

impl MessageStream {
    /// Messages in this format, of at most `longest` bytes.
    pub(super) fn new(stream: Stream, format: Format, longest: usize) -> Self {
        let assembler = Assembler::new(format, longest);
        Self { stream, format, assembler, queue: Vec::new(), sent: 0 }
    }

    /// The same stream, which sends these encoded messages first.
    pub(super) fn with(self, queue: Vec<u8>) -> Self {
        Self { queue, ..self }
    }

    /// The stream itself.
    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Ends our half: nothing more is queued.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(super) fn close_write(&mut self) -> Result<Progress> {
        self.stream.close_write()
    }

    /// Whether another message may be queued.
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() - self.sent < QUEUE
    }

    /// Whether nothing waits to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Queues a message.
    pub(super) fn push(&mut self, message: &[u8]) {
        framing::encode(self.format, message, &mut self.queue);
    }

    /// Sends what is queued, as far as there is room; whether anything was sent.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(super) fn flush(&mut self) -> Result<bool> {
        let mut any = false;
        while self.sent < self.queue.len() {
            match self.stream.send(&self.queue[self.sent..])? {
                Progress::Moved(n) => {
                    self.sent += n;
                    any = true;
                }
                Progress::Blocked | Progress::End => break,
            }
        }
        if self.sent == self.queue.len() {
            self.queue.clear();
            self.sent = 0;
        } else if self.sent > QUEUE / 2 {
            self.queue.drain(..self.sent);
            self.sent = 0;
        }
        Ok(any)
    }

    /// Receives what has come and gives the messages that are whole; `End` at the peer's FIN.
    ///
    /// # Errors
    /// When the connection is broken, or what came is no message.
    pub(super) fn receive(
        &mut self,
        room: &mut [u8],
        mut message: impl FnMut(&[u8]),
    ) -> Result<Progress> {
        let progress = self.stream.receive(room)?;
        let cut = match progress {
            Progress::Moved(n) => self.assembler.feed(&room[..n], &mut message),
            Progress::End => self.assembler.finish(&mut message),
            Progress::Blocked => Ok(()),
        };
        let status = if progress == Progress::End { Status::Broken } else { Status::Failure };
        cut.map_err(|malformed| {
            let link = self.stream.link().to_string();
            Error::new(status, "receive", link, malformed.to_string())
        })?;
        Ok(progress)
    }
}
