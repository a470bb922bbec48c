//! pktcat: a netcat for TCP and UDP with honest endings.
//!
//! The modules, from the command line down to the system. Each line uses only those below it:
//!
//! - [`cmd`]: one file for each command, which connects the parts and moves no bytes itself
//! - [`config`]: checks the options against each other and turns them into typed settings
//! - [`cli`]: the options and their help
//! - [`serve`]: a listener with many clients; [`forward`]: between clients and a server;
//!   [`scan`]: which ports are open; [`ping`]: one port again and again; [`compare`]: TCP against UDP
//! - [`engine`]: moves bytes and datagrams between two ends, and decides when a run is over;
//!   [`setup`]: resolves names, connects and accepts
//! - [`run`]: what all parts of one run share: the event loop, the console, time limits, signals
//! - [`observe`]: shows what is transferred: text, JSON, dumps, captures, a progress bar;
//!   [`io`]: the event loop, and non-blocking standard input and output
//! - [`chart`]: how long replies took, as histograms and time lines
//! - [`net`]: addresses, sockets and their options, access lists
//! - [`sys`]: system calls; the only place with `unsafe` and with code for one operating system
//! - [`units`]: durations and sizes; [`error`]: failures and exit statuses
//! - [`peer`]: socket addresses, and how text from strangers is shown
//!
//! It is a library so that tests and the man-page generator can use its parts. The product is the
//! program, and the library's interface may change with every version.

// Some of the modules linked above are private: `cargo doc --document-private-items` shows them.
#![allow(rustdoc::private_intra_doc_links)]

pub(crate) mod chart;
pub mod cli;
pub mod cmd;
pub mod compare;
pub mod config;
pub mod engine;
pub mod error;
pub(crate) mod forward;
pub(crate) mod io;
pub mod net;
pub mod observe;
pub mod peer;
pub(crate) mod ping;
pub(crate) mod run;
pub mod scan;
pub(crate) mod serve;
pub(crate) mod setup;
pub(crate) mod sys;
pub mod units;
