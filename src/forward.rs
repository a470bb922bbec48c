//! Standing between clients and a server: every client that comes gets a connection of its own to TO.
//!
//! - [`streams`] TCP and local stream sockets, joined by [`tunnel`](crate::engine::tunnel)s
//! - [`datagrams`] clients that speak in datagrams, an [`association`] each
//! - [`crossing`] a client that speaks in a stream, led to datagrams
//! - [`elsewhere`] which address of TO a client's datagrams go to
//! - [`messages`] datagrams of one side as messages in a stream of the other
//! - [`impair`] a bad network between the two, on purpose
//! - [`passage`] how a client's connection gets to TO
//! - [`rounds`] the loop of both
//! - [`unheard`] why what passes is told of once
//! - [`table`] the clients, and which of them may have something to do

mod association;
mod crossing;
pub(crate) mod datagrams;
mod elsewhere;
pub(crate) mod impair;
mod messages;
pub(crate) mod passage;
mod rounds;
pub(crate) mod streams;
mod table;
pub(crate) mod unheard;

/// How often sending a datagram is tried again after the network has said something about an earlier one.
const TRIES: usize = 3;
