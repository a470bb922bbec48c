//! Copies of what was sent to one address of a name. They are sent to the next address if the network
//! reports that nobody receives at the first.

/// What has been sent to one address is kept for the next one up to this many bytes.
const MOST_BYTES: usize = 64 * 1024;

/// And up to this many calls.
const MOST_CALLS: usize = 1024;

/// What the next address would have to get.
#[derive(Debug)]
pub(super) enum Repeat {
    /// The bytes of each call and the length of the datagrams in it, and how many bytes that is in all.
    Kept(Vec<(Vec<u8>, usize)>, usize),
    /// Nothing is kept: there is no other address, a peer has answered, or it has become too much.
    Nothing,
}

impl Repeat {
    /// Nothing has been sent yet.
    pub(super) fn begun() -> Self {
        Self::Kept(Vec::new(), 0)
    }

    /// Datagrams of `segment` bytes were sent in one call.
    pub(super) fn keep(&mut self, bytes: &[u8], segment: usize) {
        let Self::Kept(calls, kept) = self else { return };
        *kept += bytes.len();
        if *kept > MOST_BYTES || calls.len() == MOST_CALLS {
            *self = Self::Nothing;
        } else {
            calls.push((bytes.to_vec(), segment));
        }
    }
}
