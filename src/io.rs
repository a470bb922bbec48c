//! Non-blocking input and output: the event loop, the standard descriptors, the result of a call.

pub mod progress;
pub mod reactor;
pub mod splice_end;
pub mod stdio;
