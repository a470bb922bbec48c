//! What TCP and UDP have in common as carriers of messages.

use crate::compare::measure::account::At;
use crate::compare::measure::flow::Delivery;
use crate::compare::measure::ledger::Ledger;
use crate::error::Result;
use crate::io::reactor::Reactor;

/// A socket that messages are sent over and replies received from.
pub(crate) trait Carrier {
    /// Whether sending a message may succeed now.
    fn is_writable(&self) -> bool;

    /// Sends a message; `false` when the socket had no room for any of it. The rest of one that found
    /// room in part is kept, and sent by [`receive`](Self::receive).
    ///
    /// # Errors
    /// When the network fails.
    fn send(&mut self, number: u64, message: &[u8]) -> Result<bool>;

    /// Receives replies and records them in the ledger; whether there were any. Also sends what an
    /// earlier message has left unsent. `now` reads the clock of the run.
    ///
    /// # Errors
    /// When the network fails, or the peer has ended the stream while replies are missing.
    fn receive(&mut self, now: &dyn Fn() -> At, ledger: &mut Ledger) -> Result<bool>;

    /// Whether receiving may succeed right away.
    fn is_readable(&self) -> bool;

    /// Is called before the loop sleeps, so that the reactor watches everything that is waited for.
    ///
    /// # Errors
    /// When the reactor cannot watch another descriptor.
    fn before_sleep(&mut self, _: &mut Reactor) -> Result<()> {
        Ok(())
    }

    /// Whether replies may be lost, duplicated or reordered.
    fn delivery(&self) -> Delivery;
}
