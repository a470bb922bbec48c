//! pktcat: a netcat for TCP and UDP with honest endings.
//!
//! The map, from the words of the command line down to the system. Each floor uses those below it:
//!
//! - [`cmd`] one file a command: it wires the parts and moves no bytes
//! - [`config`] words become settings that make sense together; [`cli`] the words and the help
//! - [`serve`] many clients of one listener, [`scan`] asking ports, [`compare`] TCP against UDP
//! - [`setup`] names become addresses, addresses become connections, and TLS protects those
//! - [`engine`] how bytes and datagrams travel between two ends, and every way a run ends
//! - [`run`] what every part of one run shares: the loop, the console, the counters, the clock
//! - [`observe`] who wants to know what passes: text, JSON, dumps, captures, a bar;
//!   [`io`] the event loop, and descriptors that nobody waits for
//! - [`net`] addresses, sockets and their options, who may come in
//! - [`sys`] the system: the only place with `unsafe` and with code for one system
//! - [`units`] durations and sizes, [`error`] failures and exit statuses, [`peer`] who is at an end
//!
//! It is a library so that tests and the man-page generator reach its parts; the program is the
//! product, and the library's interface may change with it.

// The map is for whoever works on the code: `cargo doc --document-private-items` shows all of it.
#![allow(rustdoc::private_intra_doc_links)]

pub mod cli;
pub mod cmd;
pub mod compare;
pub mod config;
pub mod engine;
pub mod error;
pub(crate) mod io;
pub mod net;
pub mod observe;
pub mod peer;
pub(crate) mod run;
pub mod scan;
pub(crate) mod serve;
pub(crate) mod setup;
pub(crate) mod sys;
pub mod units;
