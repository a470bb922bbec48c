//! How bytes and datagrams travel between two ends, and every way a run ends.
//!
//! - [`ends`] every rule of how a run ends
//! - [`relay`] a connection between two sides ([`duplex`]), [`datagram_relay`] the same for datagrams
//! - [`tunnel`] two connections joined
//! - [`pump`] one direction with backpressure, [`splice`] its fast way, [`pace`] its speed limit
//! - [`flow`] the two verbs of every end; the ends: [`input`], [`output`], [`stream`], [`datagram`]
//! - [`expect`] what is waited for in what is received, and said in answer
//! - [`impair`] a bad network made on purpose
//! - [`batch`] the unit that travels, [`framing`] how bytes and messages map to each other

pub(crate) mod batch;
pub(crate) mod datagram;
pub(crate) mod datagram_relay;
pub(crate) mod duplex;
pub(crate) mod ends;
pub(crate) mod expect;
pub(crate) mod flow;
pub mod framing;
pub mod impair;
pub(crate) mod input;
pub(crate) mod output;
pub(crate) mod pace;
pub(crate) mod pump;
pub(crate) mod relay;
pub(crate) mod repeat;
#[cfg(test)]
mod seeds;
pub(crate) mod splice;
pub(crate) mod stream;
#[cfg(test)]
mod traffic;
pub(crate) mod tunnel;
