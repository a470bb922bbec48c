//! Descriptors without waiting: the event loop, standard input and output, and how a call went.

pub mod progress;
pub mod reactor;
pub mod splice_end;
pub mod stdio;
