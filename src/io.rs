//! Non-blocking input and output: the event loop, the standard descriptors, the result of a call.

pub(crate) mod inherited;
pub(crate) mod latch;
pub(crate) mod progress;
pub(crate) mod reactor;
pub(crate) mod splice_end;
pub(crate) mod stdio;
pub(crate) mod timer;
