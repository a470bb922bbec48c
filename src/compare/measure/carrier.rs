//! What carries the messages of a run: a stream, or datagrams.

use crate::compare::measure::account::At;
use crate::compare::measure::flow::Delivery;
use crate::compare::measure::ledger::Ledger;
use crate::error::Result;
use crate::io::reactor::Reactor;

/// What carries the messages.
pub(crate) trait Carrier {
    /// Whether a message can begin to leave now.
    fn is_writable(&self) -> bool;

    /// Sends a message; `false` when nothing of it found room.
    ///
    /// # Errors
    /// When the network fails.
    fn send(&mut self, number: u64, message: &[u8]) -> Result<bool>;

    /// Takes what has come to the ledger; whether anything came. Also lets out what could not
    /// leave before.
    ///
    /// # Errors
    /// When the network fails, or nothing can come any more.
    fn receive(&mut self, now: &dyn Fn() -> At, ledger: &mut Ledger) -> Result<bool>;

    /// Whether there may be more to receive right away.
    fn is_readable(&self) -> bool;

    /// Nothing can be done now: sees to it that the reactor tells of everything that is waited for.
    ///
    /// # Errors
    /// When the system has no room for another watch.
    fn before_sleep(&mut self, _: &mut Reactor) -> Result<()> {
        Ok(())
    }

    /// Whether it may bring a message twice, or out of its turn.
    fn delivery(&self) -> Delivery;
}
