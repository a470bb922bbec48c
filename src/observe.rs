//! What passed, for everybody who wants to know: counters and the observers behind them.

pub mod bar;
pub mod dump;
pub mod hexdump;
pub mod journal;
pub mod json;
pub mod link;
pub mod pcap;
pub mod report;
pub mod tap;
