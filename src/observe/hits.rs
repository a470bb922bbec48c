//! What a bad network that was made on purpose has done, in one direction.

use std::ops::{Add, Sub};

/// How often each damage was done. All numbers only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hits {
    /// Datagrams lost.
    pub lost: u64,
    /// Second copies made.
    pub duplicated: u64,
    /// Datagrams that the next one has overtaken.
    pub reordered: u64,
    /// Datagrams with one bit changed.
    pub corrupted: u64,
    /// Datagrams that found the queue full.
    pub dropped: u64,
    /// Writes that were cut short.
    pub sliced: u64,
    /// Connections that were reset.
    pub resets: u64,
    /// Streams that were stopped.
    pub stalls: u64,
}

impl Hits {
    /// The numbers with their names.
    #[must_use]
    pub(crate) fn named(&self) -> [(&'static str, u64); 8] {
        [
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("reordered", self.reordered),
            ("corrupted", self.corrupted),
            ("dropped", self.dropped),
            ("sliced", self.sliced),
            ("resets", self.resets),
            ("stalls", self.stalls),
        ]
    }

    fn each(self, other: Self, of: fn(u64, u64) -> u64) -> Self {
        Self {
            lost: of(self.lost, other.lost),
            duplicated: of(self.duplicated, other.duplicated),
            reordered: of(self.reordered, other.reordered),
            corrupted: of(self.corrupted, other.corrupted),
            dropped: of(self.dropped, other.dropped),
            sliced: of(self.sliced, other.sliced),
            resets: of(self.resets, other.resets),
            stalls: of(self.stalls, other.stalls),
        }
    }
}

impl Add for Hits {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.each(other, |one, other| one + other)
    }
}

impl Sub for Hits {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        self.each(before, u64::saturating_sub)
    }
}
