//! Standing between clients and a server: every client that comes gets a connection of its own to TO.
//!
//! - [`streams`] TCP and local stream sockets, joined by [`tunnel`](crate::engine::tunnel)s
//! - [`table`] the clients, and which of them may have something to do

pub(crate) mod streams;
mod table;
