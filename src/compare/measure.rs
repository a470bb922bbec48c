//! Sending the messages, and the account of what came back.

pub(crate) mod account;
pub(crate) mod carrier;
pub(crate) mod datagrams;
pub(crate) mod flow;
pub mod impair;
pub(crate) mod ledger;
pub(crate) mod messages;
pub(crate) mod peer;
pub(crate) mod recognise;
pub(crate) mod rtt;
pub(crate) mod run;
pub(crate) mod stream;
pub(crate) mod wire;
