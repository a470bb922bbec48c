//! Sends the messages and counts the replies.
//!
//! - `messages`: the messages to send
//! - `flow`: when the next one may be sent
//! - `stream` and `datagrams`: sending and receiving over TCP and UDP; `carrier`: what both have in common
//! - `recognise`: which message a datagram answers
//! - `account`: what became of every message; `ledger`: account and flow of one run together
//! - `rtt`: the round-trip times; `wire`: packets and bytes, headers included
//! - `peer`: the built-in echoing peer; `impair`: what it does to its UDP replies
//! - `run`: the loop of one run
//! - `unfragmented`: the largest payload in one packet; `probing`: the datagrams that find it
//!
//! `account`, `flow`, `recognise`, `impair`, `unfragmented` and `wire` open no sockets and read no clock: the time is a
//! parameter.

pub(crate) mod account;
pub(crate) mod attempt;
pub(crate) mod carrier;
pub(crate) mod datagrams;
pub(crate) mod flow;
pub(crate) mod ledger;
pub(crate) mod messages;
pub(crate) mod peer;
pub(crate) mod probing;
pub(crate) mod recognise;
pub(crate) mod recut;
pub(crate) mod run;
pub(crate) mod so_far;
pub(crate) mod stream;
pub(crate) mod unfragmented;
pub(crate) mod wire;
