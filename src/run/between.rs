//! What a loop does between two turns: it looks at the rest of the world, or waits for it.

use crate::error::Result;
use crate::io::reactor::Expected;
use crate::observe::tap::Tap;
use crate::run::session::Session;

/// Turns between two looks of a loop that serves many clients in each.
pub(crate) const TURNS_BETWEEN_LOOKS: u32 = 4;

/// Counts the turns of a loop, so that one in which something always moves still hears signals, deadlines
/// and other descriptors.
#[derive(Debug)]
pub(crate) struct Between {
    looks_every: u32,
    turns: u32,
}

impl Between {
    /// For a loop that looks after so many turns while something moves.
    #[must_use]
    pub(crate) fn new(looks_every: u32) -> Self {
        Self { looks_every, turns: 0 }
    }

    /// A turn is over: calls `wait` if nothing `moved`, and looks without waiting when that is due. Whether
    /// readiness is known anew.
    ///
    /// # Errors
    /// Those of `wait`, and of [`Session::look`].
    pub(crate) fn turns(
        &mut self,
        moved: bool,
        session: &mut Session,
        wait: impl FnOnce(&mut Session) -> Result<()>,
    ) -> Result<bool> {
        self.turns = self.turns.wrapping_add(1);
        if !moved {
            wait(session)?;
        } else if self.turns.is_multiple_of(self.looks_every) {
            session.look()?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// Guesses from the bytes between two waits whether small messages go back and forth, or bulk data,
/// or nothing.
#[derive(Debug, Default)]
pub(crate) struct Lull {
    bytes: u64,
}

/// Up to this many bytes between two waits count as small messages. For bulk data, sleeping is
/// cheap.
const SMALL_TALK: u64 = 16 * 1024;

impl Lull {
    /// [`Expected::Soon`] when some, but not many, bytes have passed since the last call.
    pub(crate) fn expected(&mut self, tap: &Tap) -> Expected {
        let now = tap.bytes();
        let passed = now - std::mem::replace(&mut self.bytes, now);
        if (1..=SMALL_TALK).contains(&passed) { Expected::Soon } else { Expected::Whenever }
    }
}
