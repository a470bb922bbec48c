//! What was sent to one address of a name, for the next one, should the first turn out to have nobody.

/// What has been sent to one address is kept for the next one up to this many bytes.
const MOST_BYTES: usize = 64 * 1024;

/// And up to this many trains.
const MOST_TRAINS: usize = 1024;

/// What the next address would have to get.
#[derive(Debug)]
pub(super) enum Repeat {
    /// Trains with their segments, so many bytes in all.
    Kept(Vec<(Vec<u8>, usize)>, usize),
    /// There is no other address, somebody has answered, or it is too much.
    Nothing,
}

impl Repeat {
    /// Nothing has been sent yet.
    pub(super) fn begun() -> Self {
        Self::Kept(Vec::new(), 0)
    }

    /// A train was sent.
    pub(super) fn keep(&mut self, bytes: &[u8], segment: usize) {
        let Self::Kept(trains, kept) = self else { return };
        *kept += bytes.len();
        if *kept > MOST_BYTES || trains.len() == MOST_TRAINS {
            *self = Self::Nothing;
        } else {
            trains.push((bytes.to_vec(), segment));
        }
    }
}
