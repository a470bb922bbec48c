//! How much has passed at one connection or service.

use std::ops::{Add, Sub};

/// How much has passed at one connection or service. Both numbers only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Activity {
    /// Reads or datagrams that came.
    pub arrived: u64,
    /// Reads, writes and datagrams, both ways together.
    pub moved: u64,
}

impl Activity {
    /// So many reads or datagrams came.
    pub(crate) fn received(&mut self, messages: usize) {
        self.arrived += messages as u64;
        self.moved += messages as u64;
    }

    /// So many writes or datagrams left.
    pub(crate) fn sent(&mut self, messages: usize) {
        self.moved += messages as u64;
    }
}

impl Add for Activity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { arrived: self.arrived + other.arrived, moved: self.moved + other.moved }
    }
}

impl Sub for Activity {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { arrived: self.arrived - before.arrived, moved: self.moved - before.moved }
    }
}
