//! What a rule has to ask the socket about, because no read or write reports it.

use crate::engine::ends::farewell::{Farewell, OurFin};
use crate::error::Result;

/// What only the socket itself can tell; it is asked only when an end depends on it.
pub(crate) trait Standing {
    /// Whether the peer's kernel has acknowledged all that was sent, our FIN included.
    ///
    /// # Errors
    /// When the connection broke before that.
    fn has_settled(&self) -> Result<bool>;

    /// Whether the peer's kernel has acknowledged all data that was sent.
    ///
    /// # Errors
    /// When the connection broke before that.
    fn has_acknowledged(&self) -> Result<bool>;

    /// Whether the peer is still there, as far as the system knows.
    ///
    /// # Errors
    /// When it is not.
    fn check(&self) -> Result<()>;

    /// Whether the peer's end, once it has come, is the end of all it had to send, as far as the
    /// protocol tells.
    ///
    /// # Errors
    /// When what it sent may have been cut off.
    fn is_whole(&self) -> Result<()> {
        Ok(())
    }

    /// What is known of the peer once it is gone, after its FIN; `None` while the connection stands.
    fn farewell(&self, _fin: OurFin) -> Option<Farewell> {
        None
    }
}

/// For runs that have no single socket to ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Here;

impl Standing for Here {
    fn has_settled(&self) -> Result<bool> {
        Ok(true)
    }

    fn has_acknowledged(&self) -> Result<bool> {
        Ok(true)
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }
}
