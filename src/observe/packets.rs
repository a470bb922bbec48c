//! A capture file of whole IP packets: what `--pcap` writes where there are packets to be had.

use std::time::{Duration, SystemTime};

use crate::observe::journal::Journal;
use crate::observe::pcap::{begin_file, begin_packet};

/// The file, in the format of `pcap-savefile(5)`.
#[derive(Debug)]
pub(crate) struct Packets {
    journal: Journal,
    /// The wall clock when the run began; the steady clock tells the rest.
    started: SystemTime,
}

impl Packets {
    /// A capture into this journal, of a run that began at `started`.
    #[must_use]
    pub(crate) fn new(journal: Journal, started: SystemTime) -> Self {
        begin_file(&journal);
        Self { journal, started }
    }

    /// Writes a packet that was sent so long after the beginning.
    pub(crate) fn write(&self, at: Duration, packet: &[u8]) {
        let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        self.journal.append(|out| {
            begin_packet(out, self.started + at, length, length);
            out.extend_from_slice(packet);
        });
    }
}
