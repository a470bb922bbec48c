//! A stream that carries messages: datagrams of the other side, each with its length before it or as
//! a line.

use std::collections::VecDeque;

use crate::engine::ends::Standing as _;
use crate::engine::flow::Sink as _;
use crate::engine::framing::{self, Assembler, Format};
use crate::engine::stream::Stream;
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;

/// What may wait to be sent before its user has to stop, or to lose what comes, in bytes: a batch of
/// datagrams may exceed it.
const QUEUE: usize = 1 << 20;

/// Messages that wait for a stream, written down in its format.
#[derive(Debug)]
pub(super) struct Queue {
    format: Format,
    bytes: Vec<u8>,
    /// Bytes of it that have been sent.
    sent: usize,
    /// Bytes of it that belong to messages which have been sent whole.
    done: usize,
    /// The lengths of the others, the oldest first.
    waiting: VecDeque<Lengths>,
}

/// How long a message is by itself, and as it is written down.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    message: usize,
    written: usize,
}

impl Queue {
    /// Nothing waits yet.
    pub(super) fn new(format: Format) -> Self {
        Self { format, bytes: Vec::new(), sent: 0, done: 0, waiting: VecDeque::new() }
    }

    /// How many messages wait that have not been sent whole.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether another message may be added.
    pub(super) fn has_room(&self) -> bool {
        // Empty messages take room, too.
        self.bytes.len() - self.sent + self.waiting.len() * size_of::<Lengths>() < QUEUE
    }

    /// Adds a message.
    pub(super) fn push(&mut self, message: &[u8]) {
        let before = self.bytes.len();
        framing::encode(self.format, message, &mut self.bytes);
        let written = self.bytes.len() - before;
        self.waiting.push_back(Lengths { message: message.len(), written });
    }

    /// Adds a message; `false` where there is no room, so that it is lost.
    pub(super) fn take(&mut self, message: &[u8]) -> bool {
        let has_room = self.has_room();
        if has_room {
            self.push(message);
        }
        has_room
    }

    /// What is to be sent next.
    fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// So much of [what was to be sent](Self::rest) has been sent; `gone` is given every message that
    /// is sent whole by now.
    fn sent(&mut self, bytes: usize, gone: &mut impl FnMut(&[u8])) {
        self.sent += bytes;
        while let Some(Lengths { message, written }) = self.waiting.front().copied() {
            let end = self.done + written;
            if end > self.sent {
                break;
            }
            let start = match self.format {
                Format::Frames => end - message,
                Format::Raw | Format::Lines | Format::Hex => self.done,
            };
            gone(&self.bytes[start..start + message]);
            self.done = end;
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() {
            self.bytes.clear();
            (self.sent, self.done) = (0, 0);
        } else if self.done > QUEUE / 2 {
            self.bytes.drain(..self.done);
            (self.sent, self.done) = (self.sent - self.done, 0);
        }
    }
}

/// A stream whose bytes are cut into messages.
pub(super) struct MessageStream {
    stream: Stream,
    assembler: Assembler,
    queue: Queue,
    /// Bytes at the front of it that TLS has taken and not handed to the system yet.
    taken: usize,
    /// Why the peer takes no more. What it has said before is still to be received.
    refusal: Option<Error>,
    /// Whether the peer's FIN has come.
    has_ended: bool,
}

impl MessageStream {
    /// Messages of at most `longest` bytes, in the format of the queue, which is sent first.
    pub(super) fn new(stream: Stream, queue: Queue, longest: usize) -> Self {
        let assembler = Assembler::new(queue.format, longest);
        Self { stream, assembler, queue, taken: 0, refusal: None, has_ended: false }
    }

    /// The stream itself.
    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// What waits to be sent.
    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The same, to add to it.
    pub(super) fn queue_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }

    /// Ends our half: nothing more is queued.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(super) fn close_write(&mut self) -> Result<Progress> {
        self.stream.close_write()
    }

    /// It is about to be closed, and nothing is missing: says so where closing alone would not.
    pub(super) fn conclude(&mut self) {
        self.stream.conclude();
    }

    /// Sends what is queued, as far as there is room; `gone` is given every message that has left. Whether
    /// anything was sent, or will not be.
    ///
    /// # Errors
    /// When the connection is broken, once nothing is left to be received.
    pub(super) fn flush(&mut self, mut gone: impl FnMut(&[u8])) -> Result<bool> {
        let mut any = false;
        while self.refusal.is_none() && !self.queue.is_empty() {
            let held = self.stream.held();
            let result = match &self.queue.rest()[self.taken..] {
                [] => self.stream.flush(),
                rest => self.stream.send(rest),
            };
            match result {
                Ok(progress) => {
                    self.taken += if let Progress::Moved(n) = progress { n } else { 0 };
                    let left = self.stream.held();
                    if left == 0 && self.taken > 0 {
                        self.queue.sent(std::mem::take(&mut self.taken), &mut gone);
                        any = true;
                    } else if left >= held && !matches!(progress, Progress::Moved(_)) {
                        break;
                    }
                    any |= left < held;
                }
                Err(error) if self.has_ended => return Err(error),
                Err(error) => {
                    self.refusal = Some(error);
                    any = true;
                }
            }
        }
        Ok(any)
    }

    /// Receives what has come and gives the messages that are whole; `End` at the peer's FIN, and from
    /// then on.
    ///
    /// # Errors
    /// When the connection is broken, or what came is no message.
    pub(super) fn receive(
        &mut self,
        room: &mut [u8],
        mut message: impl FnMut(&[u8]),
    ) -> Result<Progress> {
        if self.has_ended {
            return Ok(Progress::End);
        }
        let progress = match self.stream.receive(room) {
            Ok(progress @ (Progress::Moved(_) | Progress::Blocked)) => progress,
            // A side that was reset gives an end of file once the reset has been met by sending.
            end => match self.refusal.take() {
                Some(refusal) => return Err(refusal),
                None => end?,
            },
        };
        let cut = match progress {
            Progress::Moved(n) => self.assembler.feed(&room[..n], &mut message),
            Progress::End => {
                self.stream.is_whole()?;
                self.assembler.finish(&mut message)
            }
            Progress::Blocked => Ok(()),
        };
        self.has_ended = progress == Progress::End;
        let status = if self.has_ended { Status::Broken } else { Status::Failure };
        cut.map_err(|malformed| {
            let link = self.stream.link().to_string();
            Error::new(status, "receive", link, malformed.to_string())
        })?;
        Ok(progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds messages and sends some of their bytes in a random order, and finds what left to be what was added.
    fn walk(format: Format, longest: usize, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut queue, mut added, mut gone) = (Queue::new(format), Vec::new(), Vec::new());
        let (mut wire, mut lost) = (Vec::new(), 0);
        for _ in 0..300 {
            if random.bool() {
                let message = vec![random.u8(..); random.usize(..=longest)];
                match queue.take(&message) {
                    true => added.push(message),
                    false => lost += 1,
                }
            } else {
                let part = random.usize(..=queue.rest().len());
                wire.extend_from_slice(&queue.rest()[..part]);
                queue.sent(part, &mut |message| gone.push(message.to_vec()));
            }
            assert_eq!(gone.len() + queue.len(), added.len(), "seed {seed}");
        }
        let rest = queue.rest().len();
        wire.extend_from_slice(queue.rest());
        queue.sent(rest, &mut |message| gone.push(message.to_vec()));
        assert!(queue.is_empty() && gone == added, "seed {seed}, {lost} lost");
        let mut encoded = Vec::new();
        added.iter().for_each(|message| framing::encode(format, message, &mut encoded));
        assert!(wire == encoded, "seed {seed}");
    }

    #[test]
    fn messages_count_as_gone_when_their_last_byte_is_sent() {
        for seed in 0..40 {
            for format in [Format::Frames, Format::Lines] {
                walk(format, 9, seed);
                walk(format, 60_000, seed);
            }
        }
    }

    #[test]
    fn empty_messages_fill_a_queue_too() {
        let mut queue = Queue::new(Format::Lines);
        let taken = (0..QUEUE).take_while(|_| queue.take(b"")).count();
        assert!(taken < QUEUE / size_of::<Lengths>());
        assert_eq!(queue.len(), taken);
    }
}
