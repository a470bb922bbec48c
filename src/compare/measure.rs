//! Sending the messages, and the account of what came back.

pub mod account;
pub mod carrier;
pub mod datagrams;
pub mod flow;
pub mod impair;
pub mod ledger;
pub mod messages;
pub mod peer;
pub mod recognise;
pub mod rtt;
pub mod run;
pub mod stream;
pub mod timer;
pub mod wire;
