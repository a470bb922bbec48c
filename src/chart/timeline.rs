//! Which message took how long, and which were lost: any number of them in bounded memory.
//!
//! Messages that follow each other share a bin. When there are too many bins, each two become one.

use std::time::Duration;

/// The most bins: more than a picture has columns.
const MOST: usize = 2048;

/// Some messages that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Bin {
    /// How many there are.
    pub sent: u64,
    /// How many were answered, late ones included.
    pub answered: u64,
    /// The quickest reply; zero when there is none.
    pub least: Duration,
    /// The slowest one.
    pub greatest: Duration,
}

impl Bin {
    /// How many were not answered.
    #[must_use]
    pub(crate) fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.answered)
    }

    /// Both together.
    #[must_use]
    pub(crate) fn with(self, other: Self) -> Self {
        let (least, greatest) = match (self.answered, other.answered) {
            (_, 0) => (self.least, self.greatest),
            (0, _) => (other.least, other.greatest),
            _ => (self.least.min(other.least), self.greatest.max(other.greatest)),
        };
        Self {
            sent: self.sent + other.sent,
            answered: self.answered + other.answered,
            least,
            greatest,
        }
    }
}

/// The replies in the order of their messages.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    bins: Vec<Bin>,
    /// Messages a bin.
    width: u64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { bins: Vec::new(), width: 1 }
    }
}

impl Timeline {
    /// Message `number`, counted from 0, was sent. It is lost until it is answered.
    pub(crate) fn sent(&mut self, number: u64) {
        let one = Bin { sent: 1, ..Bin::default() };
        self.add(number, one);
    }

    /// It was answered, for the first time, after `took`.
    pub(crate) fn answered(&mut self, number: u64, took: Duration) {
        let one = Bin { sent: 0, answered: 1, least: took, greatest: took };
        self.add(number, one);
    }

    /// It took no time that means anything, and was not lost.
    pub(crate) fn forget(&mut self, number: u64) {
        let index = usize::try_from(number / self.width).unwrap_or(usize::MAX);
        if let Some(bin) = self.bins.get_mut(index) {
            bin.sent = bin.sent.saturating_sub(1);
        }
    }

    fn add(&mut self, number: u64, bin: Bin) {
        while number / self.width >= MOST as u64 {
            self.width *= 2;
            let pairs = self.bins.chunks(2);
            self.bins =
                pairs.map(|pair| pair.iter().fold(Bin::default(), |a, b| a.with(*b))).collect();
        }
        // Below MOST.
        let index = (number / self.width) as usize;
        if self.bins.len() <= index {
            self.bins.resize(index + 1, Bin::default());
        }
        self.bins[index] = self.bins[index].with(bin);
    }

    /// One more than the number of the last message, or a little more where bins hold several.
    #[must_use]
    pub(crate) fn length(&self) -> u64 {
        self.bins.len() as u64 * self.width
    }

    /// The messages, each bin with the number of its first one.
    pub(crate) fn bins(&self) -> impl Iterator<Item = (u64, Bin)> {
        self.bins.iter().enumerate().map(|(index, bin)| (index as u64 * self.width, *bin))
    }

    /// Messages a bin.
    #[must_use]
    pub(crate) fn width(&self) -> u64 {
        self.width
    }

    /// All messages of `columns` columns of equal width, the whole picture being `length` messages
    /// wide.
    #[must_use]
    pub(crate) fn columns(&self, length: u64, columns: usize) -> Vec<Bin> {
        let mut all = vec![Bin::default(); columns];
        for (number, bin) in self.bins() {
            let place = u128::from(number) * columns as u128 / u128::from(length.max(1));
            // Clamped to the number of columns.
            let column = usize::try_from(place).unwrap_or(usize::MAX).min(columns - 1);
            all[column] = all[column].with(bin);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn messages_are_answered_or_lost() {
        let mut line = Timeline::default();
        (0..3).for_each(|number| line.sent(number));
        line.answered(2, ms(7));
        line.answered(0, ms(5));
        let bins: Vec<_> = line.bins().collect();
        assert_eq!((bins[0].1.lost(), bins[1].1.lost(), bins[2].1.lost()), (0, 1, 0));
        assert_eq!((bins[2].0, bins[2].1.least, line.length()), (2, ms(7), 3));
        let columns = line.columns(3, 2);
        assert_eq!((columns[0].lost(), columns[0].least, columns[0].greatest), (1, ms(5), ms(5)));
        assert_eq!(columns[1].answered, 1);
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_forgotten() {
        let mut line = Timeline::default();
        for number in 0..1_000_000 {
            line.sent(number);
            if number % 10 != 0 {
                line.answered(number, ms(number % 7));
            }
        }
        assert!(line.bins.len() <= MOST && line.width == 512, "{}", line.width);
        let all = line.bins().fold(Bin::default(), |all, (_, bin)| all.with(bin));
        assert_eq!((all.sent, all.lost()), (1_000_000, 100_000));
        assert_eq!((all.least, all.greatest), (ms(0), ms(6)));
        assert!((1_000_000..1_000_512).contains(&line.length()));
    }
}
