//! Connecting through a proxy: SOCKS5 (RFC 1928, RFC 1929) or HTTP CONNECT (RFC 9110, 9.3.6).
//!
//! What is said to a proxy and what its answers mean is a [`Dialogue`], which knows no socket; a
//! `Handshake` has one with the proxy at the other end of a stream.

mod dialogue;
mod handshake;
mod http;
mod place;
mod refusal;
mod socks;

pub use dialogue::Dialogue;
pub(crate) use handshake::Handshake;
pub use place::{Destination, Kind, Proxy};
pub use refusal::{Blame, Refusal, Step};
