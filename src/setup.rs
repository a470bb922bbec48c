//! What happens before data flows: resolving names, connecting and accepting.

pub(crate) mod accept;
pub(crate) mod dial;
pub(crate) mod opening;
pub(crate) mod places;
pub mod proxy;
pub(crate) mod resolve;
mod source;
pub(crate) mod target;
pub(crate) mod tls;
