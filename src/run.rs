//! What all parts of one run share: the event loop, standard error, counters and time limits.

pub mod console;
pub mod limits;
pub mod session;
