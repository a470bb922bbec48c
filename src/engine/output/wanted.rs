//! How many messages are wanted (`--count`).

/// Counts down the messages that were asked for, where somebody counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted(Option<u64>);

impl Wanted {
    /// So many messages, or as many as come.
    pub(super) fn new(count: Option<u64>) -> Self {
        Self(count)
    }

    /// A message has come; whether it is one of those that were asked for.
    pub(super) fn take(&mut self) -> bool {
        match &mut self.0 {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }

    /// Whether messages are counted.
    pub(super) fn is_counted(self) -> bool {
        self.0.is_some()
    }

    /// Whether all have come.
    pub(super) fn is_satisfied(self) -> bool {
        self.0 == Some(0)
    }

    /// How many more; 0 where nobody counts.
    pub(super) fn left(self) -> u64 {
        self.0.unwrap_or(0)
    }
}
