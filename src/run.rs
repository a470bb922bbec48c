//! What every part of one run shares: the loop, the lines for people, the counters and the clock.

pub mod console;
pub mod limits;
pub mod session;
