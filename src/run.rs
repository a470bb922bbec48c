//! What all parts of one run share: the event loop, standard error, counters and time limits.

pub(crate) mod between;
pub(crate) mod console;
pub(crate) mod limits;
pub(crate) mod session;
