//! Where what was received goes: standard output, in the format asked for.

use std::io;

use crate::engine::batch::Batch;
use crate::engine::ends::Reader;
use crate::engine::flow::{Allowance, Sink};
use crate::engine::framing::{self, Assembler, Format};
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;
use crate::io::reactor::Reactor;
use crate::io::splice_end::SpliceEnd;
use crate::io::stdio::Local;
use crate::net::address::Address;
use crate::run::session::Session;

/// Messages are gathered up to this size before they are written.
const GATHER: usize = 64 * 1024;

/// Raw messages from this size on are written from where they are.
const DIRECT: usize = 4 * 1024;

/// The device behind the output.
#[derive(Debug)]
enum Device {
    Local(Local),
    /// What is received is wanted by nobody.
    Discard,
    /// Closed by us after the last byte.
    Closed,
    /// Its reader went away.
    Broken,
}

impl Device {
    /// Writes what there is room for; `End` when nobody reads any more.
    fn write(&mut self, bytes: &[u8]) -> Result<Progress> {
        self.ask(bytes.len(), |local| local.write(bytes))
    }

    /// Lets out what the device holds; `End` when it holds nothing.
    fn flush(&mut self) -> Result<Progress> {
        match self {
            Self::Local(_) => self.ask(0, Local::flush),
            Self::Discard | Self::Closed | Self::Broken => Ok(Progress::End),
        }
    }

    /// What a failed write means: an error, or only that nobody reads any more.
    fn failed(&mut self, cause: &io::Error) -> Option<Error> {
        if cause.kind() == io::ErrorKind::BrokenPipe {
            *self = Self::Broken;
            return None;
        }
        Some(Error::local("write", "stdout", cause))
    }

    fn ask(
        &mut self,
        swallowed: usize,
        call: impl FnOnce(&mut Local) -> io::Result<Progress>,
    ) -> Result<Progress> {
        match self {
            Self::Local(local) => match call(local) {
                Ok(progress) => Ok(progress),
                Err(cause) => self.failed(&cause).map_or(Ok(Progress::End), Err),
            },
            Self::Discard | Self::Closed => Ok(Progress::Moved(swallowed)),
            Self::Broken => Ok(Progress::End),
        }
    }
}

/// What stands before a message.
#[derive(Debug)]
enum Tag {
    Nothing,
    /// Who sent this datagram.
    Sender,
    /// The one peer that everything comes from.
    Peer(String),
}

impl Tag {
    fn fixed(&self) -> &str {
        match self {
            Self::Peer(tag) => tag,
            Self::Nothing | Self::Sender => "",
        }
    }
}

/// The sink of what is received.
#[derive(Debug)]
pub struct Output {
    device: Device,
    format: Format,
    /// Cuts a byte stream into messages again; datagrams need no cutting.
    assembler: Option<Assembler>,
    pending: Vec<u8>,
    /// How much of `pending` has been written.
    written: usize,
    /// How many more messages are wanted.
    wanted: Option<u64>,
    /// Whom the bytes come from, for errors.
    peer: String,
    tag: Tag,
}

impl Output {
    /// An output to standard output, or to nowhere without one. `stream` says that bytes come
    /// from a byte stream and have to be cut into messages; `count` is how many are wanted.
    #[must_use]
    pub fn new(local: Option<Local>, format: Format, stream: bool, count: Option<u64>) -> Self {
        let cuts = stream && matches!(format, Format::Lines | Format::Frames);
        Self {
            device: local.map_or(Device::Discard, Device::Local),
            format,
            assembler: cuts.then(|| Assembler::new(format, framing::LONGEST_MESSAGE)),
            pending: Vec::new(),
            written: 0,
            wanted: count,
            peer: String::new(),
            tag: Tag::Nothing,
        }
    }

    /// The same output, with every datagram behind a tag that says who sent it.
    #[must_use]
    pub fn tagged(mut self) -> Self {
        self.tag = Tag::Sender;
        self
    }

    /// The same output, with every message behind a tag that names this peer.
    #[must_use]
    pub fn tagged_with(mut self, peer: &Address) -> Self {
        self.tag = Tag::Peer(format!("{peer} "));
        self
    }

    /// The same output, for what this peer sends.
    #[must_use]
    pub fn of_peer(mut self, peer: String) -> Self {
        self.peer = peer;
        self
    }

    /// The same output for messages that somebody else has cut; see [`message`](Self::message).
    #[must_use]
    pub fn of_whole_messages(mut self) -> Self {
        self.assembler = None;
        self
    }

    /// Whether the reader of standard output is gone.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        match &self.device {
            Device::Local(local) => local.hung_up(),
            Device::Discard | Device::Closed => false,
            Device::Broken => true,
        }
    }

    /// What has become of the reader.
    #[must_use]
    pub fn reader(&self) -> Reader {
        if self.is_broken() {
            Reader::Gone
        } else if self.wanted == Some(0) && self.pending.is_empty() {
            Reader::Satisfied
        } else {
            Reader::Wants
        }
    }

    /// Whether nothing waits to be written.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.pending.is_empty() && !matches!(&self.device, Device::Local(l) if l.holds_back())
    }

    /// Whether more may be added by [`message`](Self::message).
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.pending.len() < GATHER
    }

    /// Adds a whole message, behind a tag that says who sent it. [`flush`](Sink::flush) writes it.
    pub fn message(&mut self, tag: &str, message: &[u8]) {
        write_down(self.format, tag, message, &mut self.wanted, &mut self.pending);
    }

    /// Whether messages are counted.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.wanted.is_some()
    }

    /// Whether all the messages that were asked for have come.
    #[must_use]
    pub fn has_enough(&self) -> bool {
        self.wanted == Some(0)
    }

    /// How many more messages are wanted; 0 where nobody counts.
    #[must_use]
    pub fn still_wanted(&self) -> u64 {
        self.wanted.unwrap_or(0)
    }

    /// A message that is not to be written has come.
    pub fn unwritten(&mut self) {
        self.wanted = self.wanted.map(|wanted| wanted.saturating_sub(1));
    }

    /// Everything is written: lets the reader see the end, if it is still there.
    pub fn close(&mut self, reactor: &mut Reactor) {
        if self.is_broken() {
            return;
        }
        if let Device::Local(local) = std::mem::replace(&mut self.device, Device::Closed) {
            local.close(reactor);
        }
    }

    /// The run is over with `result`: what was received is written; after a failure as far as the
    /// device takes it without waiting.
    ///
    /// # Errors
    /// What writing meets, and what ends a run that waits.
    pub fn write_out(&mut self, session: &mut Session, result: &Result<()>) -> Result<()> {
        loop {
            match self.flush()? {
                Progress::End => return Ok(()),
                // Nothing blocks, but signals interrupt every call.
                Progress::Blocked | Progress::Moved(0) if result.is_err() => return Ok(()),
                Progress::Moved(0) => session.look()?,
                Progress::Moved(_) => {}
                Progress::Blocked => session.wait(None)?,
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let Self { assembler, pending, wanted, format, peer, tag, .. } = self;
        let message = |message: &[u8]| write_down(*format, tag.fixed(), message, wanted, pending);
        match assembler {
            None => feed_one(bytes, message),
            Some(assembler) => assembler.feed(bytes, message).map_err(|malformed| {
                Error::new(Status::Failure, "receive", peer.as_str(), malformed.to_string())
                    .hint("-O raw takes any bytes")
            })?,
        }
        Ok(())
    }

    /// `End` when nothing is pending.
    fn write_pending(&mut self) -> Result<Progress> {
        let mut moved = 0;
        while self.written < self.pending.len() {
            match self.device.write(&self.pending[self.written..])? {
                // Interrupted, or something written before had to leave first: once more.
                Progress::Moved(0) => return Ok(Progress::Moved(moved)),
                Progress::Moved(n) => {
                    self.written += n;
                    moved += n;
                }
                Progress::Blocked => return Ok(Progress::Blocked),
                Progress::End => break,
            }
        }
        self.pending.clear();
        self.written = 0;
        Ok(if moved > 0 { Progress::Moved(moved) } else { Progress::End })
    }
}

fn feed_one(bytes: &[u8], mut message: impl FnMut(&[u8])) {
    message(bytes);
}

fn write_down(
    format: Format,
    tag: &str,
    message: &[u8],
    wanted: &mut Option<u64>,
    pending: &mut Vec<u8>,
) {
    match wanted {
        Some(0) => return,
        Some(wanted) => *wanted -= 1,
        None => {}
    }
    pending.extend_from_slice(tag.as_bytes());
    framing::encode(format, message, pending);
}

impl Sink for Output {
    fn drain(&mut self, batch: &mut Batch, _: Allowance) -> Result<Progress> {
        if self.write_pending()? == Progress::Blocked {
            return Ok(Progress::Blocked);
        }
        let mut moved = 0;
        let direct = self.format == Format::Raw && self.wanted.is_none();
        while let Some((frame, bytes)) = batch.front() {
            if direct && self.pending.is_empty() && bytes.len() >= DIRECT {
                match self.device.write(bytes)? {
                    Progress::Moved(0) => return Ok(Progress::Moved(moved)),
                    Progress::Moved(n) => {
                        moved += n;
                        batch.consume(n);
                    }
                    Progress::Blocked if moved > 0 => return Ok(Progress::Moved(moved)),
                    other => return Ok(other),
                }
                continue;
            }
            moved += bytes.len();
            let tag = match (&self.tag, &frame.from) {
                (Tag::Sender, Some(from)) => Some(format!("{} ", from.peer)),
                _ => None,
            };
            for message in frame.messages(bytes) {
                match &tag {
                    Some(tag) => self.message(tag, message),
                    None => self.take(message)?,
                }
            }
            batch.pop();
            if self.pending.len() >= GATHER && self.write_pending()? == Progress::Blocked {
                return Ok(Progress::Moved(moved));
            }
        }
        self.write_pending()?;
        Ok(match self.device {
            Device::Broken => Progress::End,
            _ => Progress::Moved(moved),
        })
    }

    fn flush(&mut self) -> Result<Progress> {
        match self.write_pending()? {
            Progress::End => self.device.flush(),
            other => Ok(other),
        }
    }

    fn finish(&mut self) -> Result<()> {
        if self.has_enough() || self.is_broken() || matches!(self.device, Device::Discard) {
            // Nobody wants the rest.
            return Ok(());
        }
        let Self { assembler, pending, wanted, format, peer, tag, .. } = self;
        let Some(assembler) = assembler else {
            return Ok(());
        };
        let message = |message: &[u8]| write_down(*format, tag.fixed(), message, wanted, pending);
        assembler.finish(message).map_err(|malformed| {
            Error::new(Status::Broken, "receive", peer.as_str(), malformed.to_string())
        })
    }

    fn widen(&mut self) {
        if let Device::Local(local) = &self.device {
            local.widen();
        }
    }

    fn splice_end(&self) -> Option<SpliceEnd<'_>> {
        match &self.device {
            Device::Local(local) if self.format == Format::Raw && self.wanted.is_none() => {
                local.splice_end()
            }
            _ => None,
        }
    }

    fn splice_failed(&mut self, cause: &io::Error) -> Option<Error> {
        self.device.failed(cause)
    }
}
