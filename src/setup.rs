//! What comes before bytes move: names become addresses, addresses become connections.

pub mod accept;
pub mod dial;
pub mod resolve;
