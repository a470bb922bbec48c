//! How bytes and datagrams travel between two ends, and every way a run ends.
//!
//! - [`ends`] every rule of how a run ends
//! - [`relay`] a connection between two sides ([`duplex`]), [`datagram_relay`] the same for datagrams
//! - [`pump`] one direction with backpressure, [`splice`] its fast way, [`pace`] its speed limit
//! - [`flow`] the two verbs of every end; the ends: [`input`], [`output`], [`stream`], [`datagram`]
//! - [`batch`] the unit that travels, [`framing`] how bytes and messages map to each other

pub mod batch;
pub mod datagram;
pub mod datagram_relay;
pub mod duplex;
pub mod ends;
pub mod flow;
pub mod framing;
pub mod input;
pub mod output;
pub mod pace;
pub mod pump;
pub mod relay;
pub mod repeat;
pub mod splice;
pub mod stream;
