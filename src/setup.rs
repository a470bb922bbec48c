//! What happens before data flows: resolving names, connecting and accepting.

pub mod accept;
pub mod dial;
pub mod resolve;
