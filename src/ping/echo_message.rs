//! The messages that an echo service sends back (RFC 862), and knowing them again.

/// Bytes that a message begins with: a number of this run and one of the probe, 8 bytes each.
pub(crate) const HEADER: usize = 16;

/// Makes messages, and reads them back.
#[derive(Debug)]
pub(super) struct Messages {
    /// Messages of an earlier run on the same port are not ours.
    run: u64,
    size: usize,
}

impl Messages {
    /// Messages of `size` bytes, [`HEADER`] at least.
    pub(super) fn new(size: usize) -> Self {
        Self { run: fastrand::u64(..), size: size.max(HEADER) }
    }

    /// Bytes of each.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The message of the probe with this number.
    pub(super) fn write(&self, seq: u64) -> Vec<u8> {
        let mut message = Vec::with_capacity(self.size);
        message.extend_from_slice(&self.run.to_be_bytes());
        message.extend_from_slice(&seq.to_be_bytes());
        // Letters, so that a dump is easy to read.
        let letters = (b'a'..=b'z').cycle();
        message.extend(letters.take(self.size - HEADER));
        message
    }

    /// The number of the probe that this is the message of; `None` when it is no message of this
    /// run, or not as it was sent.
    pub(super) fn read(&self, message: &[u8]) -> Option<u64> {
        let (_, rest) = message.split_at_checked(8)?;
        let (seq, _) = rest.split_at_checked(8)?;
        let seq = u64::from_be_bytes(seq.try_into().ok()?);
        (message == self.write(seq)).then_some(seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sent_is_known_again() {
        for size in [HEADER, 64, 1000] {
            let messages = Messages::new(size);
            let message = messages.write(7);
            assert_eq!((message.len(), messages.read(&message)), (size, Some(7)));
            let mut damaged = message.clone();
            *damaged.last_mut().unwrap() ^= 1;
            // In a message of the header alone that is the number of another probe.
            assert_ne!(messages.read(&damaged), Some(7));
            assert_eq!(messages.read(&message[..size - 1]), None);
            assert_eq!(Messages::new(size).read(&message), None, "another run");
        }
    }
}
