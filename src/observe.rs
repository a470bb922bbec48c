//! Counters of a run, and the observers that report its traffic: text, JSON, dumps, captures, a
//! bar.

mod activity;
pub(crate) mod bar;
pub(crate) mod connections;
pub(crate) mod course;
pub(crate) mod dump;
pub(crate) mod handshake;
pub mod hexdump;
pub(crate) mod hits;
pub(crate) mod journal;
pub(crate) mod json;
pub(crate) mod link;
pub(crate) mod packets;
pub(crate) mod paper;
pub(crate) mod pcap;
pub(crate) mod report;
pub(crate) mod stamps;
pub(crate) mod tap;
