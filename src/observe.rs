//! Counters of a run, and the observers that report its traffic: text, JSON, dumps, captures, a
//! bar.

mod activity;
pub mod bar;
pub mod dump;
pub mod hexdump;
pub mod journal;
pub mod json;
pub mod link;
pub mod pcap;
pub mod report;
pub mod tap;
