//! Where what was received goes: standard output, in the format asked for.

mod device;
mod encoder;
mod wanted;

use std::io;

use crate::engine::batch::Batch;
use crate::engine::ends::Reader;
use crate::engine::flow::{Allowance, Sink};
use crate::engine::framing::Format;
use crate::error::{Error, Result};
use crate::io::progress::Progress;
use crate::io::reactor::Reactor;
use crate::io::splice_end::SpliceEnd;
use crate::io::stdio::Local;
use crate::net::address::Address;
use crate::observe::stamps::Stamps;
use crate::run::session::Session;

use device::Device;
use encoder::Encoder;
use wanted::Wanted;

/// Messages are gathered up to this size before they are written.
const GATHER: usize = 64 * 1024;

/// Raw messages from this size on are written from where they are.
const DIRECT: usize = 4 * 1024;

/// The sink of what is received.
#[derive(Debug)]
pub(crate) struct Output {
    device: Device,
    encoder: Encoder,
    wanted: Wanted,
    pending: Vec<u8>,
    /// How much of `pending` has been written.
    written: usize,
}

impl Output {
    /// An output to standard output, or without one an output that discards everything. `stream` says that bytes come
    /// from a byte stream and have to be cut into messages; `count` is how many are wanted.
    #[must_use]
    pub(crate) fn new(
        local: Option<Local>,
        format: Format,
        stream: bool,
        count: Option<u64>,
    ) -> Self {
        Self {
            device: local.map_or(Device::Discard, Device::Local),
            encoder: Encoder::new(format, stream),
            wanted: Wanted::new(count),
            pending: Vec::new(),
            written: 0,
        }
    }

    /// The same output, with every datagram behind a tag that says who sent it.
    #[must_use]
    pub(crate) fn tagged(mut self) -> Self {
        self.encoder.tag_senders();
        self
    }

    /// The same output, with every message behind a tag that names this peer.
    #[must_use]
    pub(crate) fn tagged_with(mut self, peer: &Address) -> Self {
        self.encoder.tag_peer(peer);
        self
    }

    /// The same output, with or without the wall-clock time before each line.
    #[must_use]
    pub(crate) fn stamped(mut self, stamps: Stamps) -> Self {
        self.encoder.stamp(stamps);
        self
    }

    /// The same output, for what this peer sends.
    #[must_use]
    pub(crate) fn of_peer(mut self, peer: String) -> Self {
        self.encoder.of_peer(peer);
        self
    }

    /// The same output for messages that are cut already; see [`message`](Self::message).
    #[must_use]
    pub(crate) fn of_whole_messages(mut self) -> Self {
        self.encoder.of_whole_messages();
        self
    }

    /// Whether the reader of standard output is gone.
    #[must_use]
    pub(crate) fn is_broken(&self) -> bool {
        self.device.is_broken()
    }

    /// What has become of the reader.
    #[must_use]
    pub(crate) fn reader(&self) -> Reader {
        if self.is_broken() {
            Reader::Gone
        } else if self.has_enough() && self.pending.is_empty() {
            Reader::Satisfied
        } else {
            Reader::Wants
        }
    }

    /// Whether nothing waits to be written.
    #[must_use]
    pub(crate) fn is_drained(&self) -> bool {
        self.pending.is_empty() && !self.device.holds_back()
    }

    /// Whether more may be added by [`message`](Self::message).
    #[must_use]
    pub(crate) fn has_room(&self) -> bool {
        self.pending.len() < GATHER
    }

    /// Adds a whole message, behind a tag that says who sent it. [`flush`](Sink::flush) writes it.
    pub(crate) fn message(&mut self, tag: &str, message: &[u8]) {
        self.encoder.message(tag, message, &mut self.wanted, &mut self.pending);
    }

    /// Whether messages are counted.
    #[must_use]
    pub(crate) fn counts(&self) -> bool {
        self.wanted.is_counted()
    }

    /// Whether all the messages that were asked for have come.
    #[must_use]
    pub(crate) fn has_enough(&self) -> bool {
        self.wanted.is_satisfied()
    }

    /// How many more messages are wanted; 0 where nobody counts.
    #[must_use]
    pub(crate) fn still_wanted(&self) -> u64 {
        self.wanted.left()
    }

    /// A message that is not to be written has come.
    pub(crate) fn unwritten(&mut self) {
        self.wanted.take();
    }

    /// Everything is written: lets the reader see the end, if it is still there.
    pub(crate) fn close(&mut self, reactor: &mut Reactor) {
        self.device.close(reactor);
    }

    /// The run is over with `result`: what was received is written; after a failure as far as the
    /// device takes it without waiting.
    ///
    /// # Errors
    /// What writing meets, and what ends a run that waits.
    pub(crate) fn write_out(&mut self, session: &mut Session, result: &Result<()>) -> Result<()> {
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

    /// Whether bytes may go from where they are to the device as they are.
    fn passes_unchanged(&self) -> bool {
        self.encoder.is_raw() && !self.wanted.is_counted()
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

impl Sink for Output {
    fn drain(&mut self, batch: &mut Batch, _: Allowance) -> Result<Progress> {
        if self.write_pending()? == Progress::Blocked {
            return Ok(Progress::Blocked);
        }
        let mut moved = 0;
        let direct = self.passes_unchanged();
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
            let taken = self.encoder.frame(frame, bytes, &mut self.wanted, &mut self.pending);
            // After a failure, too: the messages before what is none have been taken.
            batch.pop();
            taken?;
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
        self.encoder.finish(&mut self.wanted, &mut self.pending)
    }

    fn widen(&mut self) {
        self.device.widen();
    }

    fn splice_end(&self) -> Option<SpliceEnd<'_>> {
        if self.passes_unchanged() { self.device.splice_end() } else { None }
    }

    fn splice_failed(&mut self, cause: &io::Error) -> Option<Error> {
        self.device.failed(cause)
    }
}
