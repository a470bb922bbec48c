//! The payload to send: standard input or words of the command line, cut into messages.

use std::collections::VecDeque;

use crate::engine::batch::Batch;
use crate::engine::expect::{self, Next};
use crate::engine::flow::Source;
use crate::engine::framing::{self, Assembler, Crlf, Format, Malformed};
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;
use crate::io::splice_end::SpliceEnd;
use crate::io::stdio::{Kind, Local};

/// Bytes taken from standard input at a time where they must be looked at.
const SCRATCH: usize = 32 * 1024;

/// What messages become when they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// A byte stream: newlines and lengths travel with the messages.
    Stream,
    /// Datagrams: raw input is cut into pieces of `size` bytes, no message is over `limit`.
    Datagrams {
        /// Payload bytes a datagram of raw input.
        size: usize,
        /// The most a datagram can carry.
        limit: usize,
    },
}

/// Where the payload comes from.
#[derive(Debug)]
pub(crate) enum InputSource {
    /// Standard input.
    Local(Local),
    /// Messages from the command line.
    Given(VecDeque<Vec<u8>>),
    /// Messages from the command line, some of which wait for an answer.
    Dialogue(expect::Shared),
    /// Nothing is to be sent.
    Nothing,
}

/// The source of what is sent.
#[derive(Debug)]
pub(crate) struct Input {
    from: InputSource,
    wire: Wire,
    format: Format,
    assembler: Assembler,
    crlf: Option<Crlf>,
    scratch: Vec<u8>,
    ended: bool,
}

impl Input {
    /// An input that cuts `from` by `format`; with `crlf`, LF leaves as CRLF.
    #[must_use]
    pub(crate) fn new(from: InputSource, format: Format, wire: Wire, crlf: Option<Crlf>) -> Self {
        let limit = match wire {
            Wire::Stream => framing::LONGEST_MESSAGE,
            Wire::Datagrams { limit, .. } => limit,
        };
        let assembler = Assembler::new(format, limit);
        Self { from, wire, format, assembler, crlf, scratch: Vec::new(), ended: false }
    }

    /// Whether standard input is `/dev/null` or was closed: there is nothing to say.
    #[must_use]
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.from, InputSource::Local(local) if local.kind() == Kind::Null)
    }

    /// Whether nothing is to be sent, which is known before anything has been read.
    #[must_use]
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self.from, InputSource::Nothing) || self.is_null()
    }

    /// Whether a person at a terminal is the source.
    #[must_use]
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(&self.from, InputSource::Local(local) if local.kind() == Kind::Terminal)
    }

    /// Whether something is left to be sent: a message, what can be read now, or the beginning of a
    /// message whose rest has yet to be read.
    #[must_use]
    pub(crate) fn has_more(&self) -> bool {
        match &self.from {
            InputSource::Nothing => false,
            InputSource::Given(messages) => !messages.is_empty(),
            InputSource::Dialogue(dialogue) => dialogue.borrow().may_speak(),
            InputSource::Local(local) => {
                !self.ended && (self.assembler.is_inside() || local.has_more())
            }
        }
    }

    /// Reads bytes as they are: what there is for datagrams, which are cut from it, and once for a stream.
    fn fill_raw(&mut self, batch: &mut Batch) -> Result<Progress> {
        let mut total = 0;
        let stop = loop {
            match self.read_some(batch) {
                Ok(Progress::Moved(n)) if n > 0 => total += n,
                stop => break stop,
            }
            if self.wire == Wire::Stream {
                break Ok(Progress::Moved(0));
            }
        };
        self.ended = matches!(stop, Ok(Progress::End));
        match self.wire {
            Wire::Stream if total > 0 => batch.cut(total, total),
            Wire::Stream => {}
            Wire::Datagrams { size, .. } => cut_datagrams(batch, size, &stop),
        }
        match stop {
            // What was read before a failure is cut, and can be sent.
            Err(error) => Err(error),
            Ok(_) if total > 0 => Ok(Progress::Moved(total)),
            Ok(Progress::Blocked) if !batch.is_empty() => Ok(Progress::Moved(0)),
            stop => stop,
        }
    }

    /// Reads once into the spare room of the batch. `Moved(0)` when there is none, or a signal has
    /// interrupted it.
    fn read_some(&mut self, batch: &mut Batch) -> Result<Progress> {
        let InputSource::Local(local) = &mut self.from else {
            return Ok(Progress::End);
        };
        let spare = batch.spare();
        let Some(crlf) = &mut self.crlf else {
            let progress = if spare.is_empty() { Progress::Moved(0) } else { read(local, spare)? };
            if let Progress::Moved(n) = progress {
                batch.filled(n);
            }
            return Ok(progress);
        };
        // Every byte may become two.
        let room = (spare.len() / 2).min(SCRATCH);
        if room == 0 {
            return Ok(Progress::Moved(0));
        }
        self.scratch.resize(SCRATCH, 0);
        let n = match read(local, &mut self.scratch[..room])? {
            Progress::Moved(n) => n,
            other => return Ok(other),
        };
        let mut converted = Vec::with_capacity(2 * n);
        crlf.convert(&self.scratch[..n], &mut converted);
        spare[..converted.len()].copy_from_slice(&converted);
        batch.filled(converted.len());
        Ok(Progress::Moved(converted.len()))
    }

    fn fill_messages(&mut self, batch: &mut Batch) -> Result<Progress> {
        let InputSource::Local(local) = &mut self.from else {
            return Ok(Progress::End);
        };
        self.scratch.resize(SCRATCH, 0);
        let (format, wire, crlf) = (self.format, self.wire, self.crlf.is_some());
        let push = |message: &[u8]| push_message(batch, format, wire, crlf, message);
        match read(local, &mut self.scratch)? {
            Progress::Moved(n) => {
                self.assembler.feed(&self.scratch[..n], push).map_err(malformed)?;
                Ok(Progress::Moved(n))
            }
            Progress::Blocked => Ok(Progress::Blocked),
            Progress::End => {
                self.ended = true;
                self.assembler.finish(push).map_err(malformed)?;
                Ok(Progress::Moved(0))
            }
        }
    }
}

/// Cuts what was read into datagrams of `size` bytes. What is left over is sent as a shorter one where
/// standard input has paused, ended or failed; where it has not, it goes on with the next bytes.
fn cut_datagrams(batch: &mut Batch, size: usize, stop: &Result<Progress>) {
    let uncut = batch.uncut();
    let goes_on = matches!(stop, Ok(Progress::Moved(_)));
    let rest = if goes_on { uncut % size } else { 0 };
    if uncut > rest {
        batch.cut(uncut - rest, size);
    }
}

/// Adds a message as it travels: in a stream with its newline or length.
fn push_message(batch: &mut Batch, format: Format, wire: Wire, crlf: bool, message: &[u8]) {
    match wire {
        Wire::Stream => {
            let prefix = framing::length_prefix(message);
            batch.push(&in_stream(format, crlf, &prefix, message));
        }
        Wire::Datagrams { .. } => batch.push(&[message]),
    }
}

/// The parts of a message as it travels in a stream: with its newline or its length, the `prefix`.
pub(crate) fn in_stream<'a>(
    format: Format,
    crlf: bool,
    prefix: &'a [u8; 4],
    message: &'a [u8],
) -> [&'a [u8]; 2] {
    match format {
        Format::Lines if crlf && !message.ends_with(b"\r") => [message, b"\r\n"],
        Format::Lines => [message, b"\n"],
        Format::Frames => [prefix, message],
        Format::Raw | Format::Hex => [message, b""],
    }
}

fn read(local: &mut Local, buffer: &mut [u8]) -> Result<Progress> {
    local.read(buffer).map_err(|cause| Error::local("read", local.name(), &cause))
}

fn malformed(what: Malformed) -> Error {
    Error::new(Status::LocalIo, "read", "stdin", what.to_string())
}

impl Source for Input {
    fn fill(&mut self, batch: &mut Batch) -> Result<Progress> {
        if self.ended {
            return Ok(Progress::End);
        }
        match &mut self.from {
            InputSource::Nothing => Ok(Progress::End),
            InputSource::Given(messages) => Ok(match messages.pop_front() {
                Some(message) => {
                    let format = self.format;
                    push_message(batch, format, self.wire, self.crlf.is_some(), &message);
                    Progress::Moved(message.len())
                }
                None => Progress::End,
            }),
            InputSource::Dialogue(dialogue) => {
                // An empty message moves no bytes and is progress all the same.
                let next = dialogue.borrow_mut().next();
                Ok(match next {
                    Next::Message(message) => {
                        let format = self.format;
                        push_message(batch, format, self.wire, self.crlf.is_some(), &message);
                        Progress::Moved(message.len())
                    }
                    Next::Wait => Progress::Blocked,
                    Next::Nothing => Progress::End,
                })
            }
            InputSource::Local(_) if self.format == Format::Raw => self.fill_raw(batch),
            InputSource::Local(_) => self.fill_messages(batch),
        }
    }

    fn is_given(&self) -> bool {
        matches!(self.from, InputSource::Given(_))
    }

    fn widen(&mut self) {
        if let InputSource::Local(local) = &self.from {
            local.widen();
        }
    }

    fn splice_end(&self) -> Option<SpliceEnd<'_>> {
        match &self.from {
            InputSource::Local(local)
                if self.format == Format::Raw
                    && self.wire == Wire::Stream
                    && self.crlf.is_none()
                    && !self.ended =>
            {
                local.splice_end()
            }
            _ => None,
        }
    }
}
