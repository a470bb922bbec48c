//! The two traits of the ends of a transfer.
//!
//! A [`Source`] fills a [`Batch`], a [`Sink`] drains it. Neither waits: what cannot be done now
//! is [`Progress::Blocked`], and is called again when the reactor reports that the end is ready.

use std::io;

use crate::engine::batch::Batch;
use crate::error::{Error, Result};
use crate::io::progress::Progress;
use crate::io::splice_end::SpliceEnd;

/// A read of this many bytes means that this is a bulk transfer.
pub(crate) const BULK: usize = 32 * 1024;

/// How much a sink may take in one call, where a pace limits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Messages that may be sent.
    pub messages: usize,
    /// Bytes that may be sent; the last message may exceed it.
    pub bytes: usize,
    /// Where a stream may be cut to send no more than that.
    pub cuts: Cuts,
}

/// Where a stream of bytes may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cuts {
    /// Between any two bytes.
    Anywhere,
    /// Between messages, each of which is written at once.
    BetweenMessages,
}

impl Allowance {
    /// No limit.
    pub(crate) const ALL: Self =
        Self { messages: usize::MAX, bytes: usize::MAX, cuts: Cuts::BetweenMessages };

    /// How much of a frame with messages of `segment` bytes may be sent, when `messages` messages and
    /// `moved` bytes have been sent already: whole messages from its front. `None` when nothing may.
    #[must_use]
    pub(crate) fn whole_messages<'a>(
        &self,
        bytes: &'a [u8],
        segment: usize,
        messages: usize,
        moved: usize,
    ) -> Option<&'a [u8]> {
        let left = self.messages.saturating_sub(messages);
        if left == 0 || moved >= self.bytes {
            return None;
        }
        let by_bytes = (self.bytes - moved).div_ceil(segment.max(1));
        let most = left.min(by_bytes).saturating_mul(segment);
        Some(&bytes[..bytes.len().min(most)])
    }

    /// The front part of `bytes` that may be sent when `moved` bytes have been sent already.
    #[must_use]
    pub(crate) fn front<'a>(&self, bytes: &'a [u8], moved: usize) -> &'a [u8] {
        match self.cuts {
            Cuts::Anywhere => &bytes[..bytes.len().min(self.bytes.saturating_sub(moved))],
            Cuts::BetweenMessages => bytes,
        }
    }
}

/// Where bytes come from.
pub(crate) trait Source {
    /// Puts what has come into the batch.
    ///
    /// # Errors
    /// When the source failed; what it put into the batch before stays there.
    fn fill(&mut self, batch: &mut Batch) -> Result<Progress>;

    /// Whether all that it has is there from the beginning, as words of the command line are.
    fn is_given(&self) -> bool {
        false
    }

    /// Called once when a transfer turns out to be bulk: enlarges buffers where that helps.
    fn widen(&mut self) {}

    /// The descriptor, if bytes may be spliced from it.
    fn splice_end(&self) -> Option<SpliceEnd<'_>> {
        None
    }

    /// Bytes were spliced from this end.
    fn moved(&mut self, _bytes: usize) {}

    /// The error for a connection that broke while splicing.
    fn splice_failed(&mut self, cause: &io::Error) -> Error {
        Error::system("splice", cause)
    }
}

/// Where bytes go to.
pub(crate) trait Sink {
    /// Takes messages from the front of the batch.
    ///
    /// # Errors
    /// When the sink failed; what it could not take stays in the batch.
    fn drain(&mut self, batch: &mut Batch, allowed: Allowance) -> Result<Progress>;

    /// Writes what the sink itself still holds; `End` once it holds nothing.
    ///
    /// # Errors
    /// As for [`drain`](Self::drain).
    fn flush(&mut self) -> Result<Progress> {
        Ok(Progress::End)
    }

    /// No more messages will come: completes what was left open, such as a last line.
    ///
    /// # Errors
    /// When what was left open is no message.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    /// Called once when a transfer turns out to be bulk: enlarges buffers where that helps.
    fn widen(&mut self) {}

    /// The descriptor, if bytes may be spliced into it.
    fn splice_end(&self) -> Option<SpliceEnd<'_>> {
        None
    }

    /// Bytes were spliced into this end.
    fn moved(&mut self, _bytes: usize) {}

    /// The error for a failure to splice into this end; `None` when it only means that nobody reads
    /// any more, which is an end and no error.
    fn splice_failed(&mut self, cause: &io::Error) -> Option<Error> {
        Some(Error::system("splice", cause))
    }
}
