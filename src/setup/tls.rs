//! TLS: who is asked for and trusted, what we show ourselves, and the handshake.
//!
//! A [`Connector`] or an [`Acceptor`] is made once a run. Each makes a [`Handshake`] of a connected
//! stream, which whoever has the loop drives until the stream is ready; nothing here waits or reads a
//! file. The system's roots are read when a connector needs them and never otherwise.

mod acceptor;
mod certificate;
mod common;
mod connector;
mod handshake;
mod identity;
mod secrets;
mod trust;
mod verdict;

pub(crate) use acceptor::Acceptor;
pub(crate) use certificate::roots;
pub(crate) use common::Common;
pub(crate) use connector::{Connector, server_name};
pub(crate) use handshake::{Handshake, complete};
pub(crate) use identity::Identity;
pub(crate) use secrets::Secrets;
pub(crate) use trust::Trusted;
