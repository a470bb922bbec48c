//! A bad network, made on purpose: loss, duplication, reordering, corruption, delay, jitter, a
//! bottleneck, and streams that are cut, stall or break.
//!
//! It opens nothing and reads no clock. One direction of messages goes through a [`Line`], one
//! direction of a byte stream through a [`Shaper`]; both say what they did in exact tallies, and
//! when they have something to hand on next.
//!
//! - [`spec`] what is asked for, and which of it means something to whom
//! - [`mod@line`] messages: datagrams, packets
//! - [`shaper`] byte streams
//! - [`bottleneck`] the rate that both have in common

mod bottleneck;
mod line;
mod shaper;
mod spec;

pub use line::{HOLD, Line, Message, Tally};
pub use shaper::{Passage, Shaper, StreamTally};
pub use spec::{Key, Spec, Traffic};
