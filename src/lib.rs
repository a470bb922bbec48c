//! pktcat: a netcat for TCP and UDP with honest endings.
//!
//! The map, from the words of the command line down to the system:
//!
//! - [`cli`] the words, [`config`] settings that make sense together, [`cmd`] one module a command
//! - [`relay`] a connection and every way it ends, [`exchange`] the same for datagrams
//! - [`hub`] many clients of one listener, [`children`] a program for each,
//!   [`door`] how they come in, [`gate`] who may
//! - [`pump`] one direction with backpressure, [`splice`] its fast way, [`pace`] its speed limit
//! - [`scan`] asking ports: what is asked when, and what was found
//! - [`endpoint`] the real ends: standard input and output, streams, datagrams
//! - [`batch`] the unit that travels, [`framing`] how bytes and messages map to each other
//! - [`compare`] TCP against UDP: its own map inside
//! - [`resolver`] names and [`dial`] connecting, [`local`] sockets with paths, [`socket`] sockets by name and their
//!   [`options`], [`address`] hosts and ports, [`peer`] who is at the other end
//! - [`session`] what one run shares: [`reactor`] the event loop, [`console`] lines for people,
//!   [`tap`] counters and who wants to know
//! - who wants to know: [`report`] events as text, [`json`] the same for programs, [`dump`] every
//!   byte, made of [`hexdump`] lines, [`pcap`] packets for Wireshark, [`progress`] a bar
//! - [`units`] durations and sizes, [`error`] failures and exit statuses, [`sys`] the system
//!
//! It is a library so that tests and the man-page generator reach its parts; the program is the
//! product, and the library's interface may change with it.

pub mod address;
pub mod batch;
pub mod children;
pub mod cli;
pub mod cmd;
pub mod compare;
pub mod config;
pub mod console;
pub mod dial;
pub mod door;
pub mod dump;
pub mod endpoint;
pub mod error;
pub mod exchange;
pub mod framing;
pub mod gate;
pub mod hexdump;
pub mod hub;
pub mod json;
pub mod local;
pub mod options;
pub mod pace;
pub mod pcap;
pub mod peer;
pub mod progress;
pub mod pump;
pub mod reactor;
pub mod relay;
pub mod report;
pub mod resolver;
pub mod scan;
pub mod session;
pub mod socket;
pub mod splice;
pub mod sys;
pub mod tap;
pub mod units;
