//! A bad network for both protocols, inside this process.
//!
//! The run moves into a network of its own, whose one device gives every packet to this program.
//! The built-in peer listens at the device's address and the client connects to its neighbour's;
//! each packet meets what was asked for, has its addresses swapped and is given back, so that both
//! ends are the system's own TCP and UDP and believe in a network between them.
//!
//! - [`network`] the device and the way there and back; [`packet`] what is known of a packet
//! - [`held_up`] which messages wait behind a lost one, and for how long

pub(crate) mod held_up;
pub(crate) mod network;
pub(crate) mod packet;
