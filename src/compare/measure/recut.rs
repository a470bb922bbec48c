//! Datagrams that a peer has merged or split: the messages in them, found as in a byte stream.
//!
//! A peer that copies datagrams through a pipe (`socat UDP-LISTEN:7 EXEC:cat`, `ncat -u -e cat`) answers
//! with all bytes in order, cut wherever a read of the pipe ended.

use crate::compare::measure::account::{Account, Condition};

/// What the bytes at the start of a stretch are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// This message, which has so many bytes.
    Message(u64, usize),
    /// The beginning of one, as far as can be told.
    Part,
    /// No message that was sent.
    Unknown,
}

/// Which message a reply answers, if any, and how it came.
pub(crate) type Answer = (Option<u64>, Condition);

/// The bytes of a message whose other part has not come.
#[derive(Debug, Default)]
pub(crate) struct Recut {
    pending: Vec<u8>,
}

/// A part is not kept for longer than the longest datagram is.
const MOST_PENDING: usize = 65_536;

impl Recut {
    /// Whether the next reply may begin with the rest of a message.
    #[must_use]
    pub(crate) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// What was kept belongs to nothing that still comes; whether there was anything.
    pub(crate) fn give_up(&mut self) -> bool {
        let was_pending = self.is_pending();
        self.pending.clear();
        was_pending
    }

    /// Takes a reply that is no message by itself; the messages in it and in what came before.
    /// `start` knows what bytes begin with, given the message before them. `None` when it is neither a piece nor several of the stream
    /// that was sent; what waited for it is given up then.
    pub(crate) fn take(
        &mut self,
        reply: &[u8],
        account: &Account,
        mut start: impl FnMut(&[u8], Option<u64>, &Account) -> Start,
    ) -> Option<Vec<Answer>> {
        let mut bytes = std::mem::take(&mut self.pending);
        bytes.extend_from_slice(reply);
        if reply.is_empty() {
            return None;
        }
        let (mut answers, mut at, mut last) = (Vec::new(), 0, None);
        while at < bytes.len() {
            match start(&bytes[at..], last, account) {
                Start::Message(number, length) => {
                    answers.push((Some(number), Condition::Recut));
                    last = Some(number);
                    at += length;
                }
                Start::Part if bytes.len() - at < MOST_PENDING => {
                    self.pending = bytes.split_off(at);
                    return Some(answers);
                }
                Start::Part | Start::Unknown => return None,
            }
        }
        Some(answers)
    }
}
