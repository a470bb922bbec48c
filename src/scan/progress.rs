//! The progress bar of a long scan, on a terminal.
//!
//! It is drawn on paper and written through the console like every other line, so that a terminal that is stopped
//! (Ctrl-S) does not stop the scan.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::observe::journal::Journal;
use crate::observe::paper::{CLEAR_LINE, Paper};
use crate::scan::report::PortTally;

/// The bar appears when the scan has taken this long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Time between two redraws.
const STEP: Duration = Duration::from_millis(100);

/// Short enough for 80 columns.
const TEMPLATE: &str = "[{bar:24}] {pos}/{len} ports, {msg} open, {eta} left";

/// The progress bar, or none.
#[derive(Debug)]
pub(crate) struct ScanBar(Option<DrawnBar>);

#[derive(Debug)]
struct DrawnBar {
    bar: ProgressBar,
    paper: Paper,
    next: Instant,
    is_shown: bool,
}

impl ScanBar {
    /// No bar.
    #[must_use]
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// A bar for this number of ports.
    #[must_use]
    pub(crate) fn new(ports: usize) -> Self {
        let paper = Paper::default();
        let target = ProgressDrawTarget::term_like(Box::new(paper.clone()));
        let bar = ProgressBar::with_draw_target(Some(ports as u64), target);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(Some(DrawnBar { bar, paper, next: Instant::now() + PATIENCE, is_shown: false }))
    }

    /// When the bar is to be redrawn.
    #[must_use]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.as_ref().map(|bar| bar.next)
    }

    /// Draws the bar if that is due.
    pub(crate) fn update(&mut self, now: Instant, tally: &PortTally, journal: &Journal) {
        let Some(DrawnBar { bar, paper, next, is_shown }) = &mut self.0 else {
            return;
        };
        if now < *next {
            return;
        }
        *next = now + STEP;
        *is_shown = true;
        bar.set_message(tally.open.to_string());
        bar.set_position(tally.known() as u64);
        bar.tick();
        let drawing = paper.take();
        journal.append(|text| text.extend_from_slice(drawing.as_bytes()));
    }

    /// Removes the bar, so that a line can be printed; the next update draws it again. Returns
    /// whether it was shown.
    pub(crate) fn clear(&mut self, journal: &Journal) -> bool {
        let Some(bar) = self.0.as_mut().filter(|bar| bar.is_shown) else {
            return false;
        };
        bar.is_shown = false;
        journal.append(|text| text.extend_from_slice(CLEAR_LINE.as_bytes()));
        true
    }

    /// Removes the bar for good.
    pub(crate) fn end(&mut self, journal: &Journal) {
        self.clear(journal);
        if let Some(bar) = self.0.take() {
            // Without this the bar would draw itself once more when it is dropped.
            bar.bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::address::Protocol;

    #[test]
    fn a_bar_comes_late_and_goes_without_a_trace() {
        let mut progress = ScanBar::new(100);
        let journal = Journal::default();
        let mut tally = PortTally::new(Protocol::Tcp, 100);
        tally.open = 3;
        tally.closed = 47;
        let text = || {
            let mut copy = Vec::new();
            journal.append(|text| copy.append(text));
            String::from_utf8(copy).unwrap()
        };
        progress.update(Instant::now(), &tally, &journal);
        assert!(!progress.clear(&journal));
        assert_eq!(text(), "");
        progress.update(Instant::now() + PATIENCE, &tally, &journal);
        let drawn = text();
        assert!(drawn.contains("50/100 ports, 3 open"), "{drawn:?}");
        assert!(!drawn.contains('\n'), "{drawn:?}");
        progress.end(&journal);
        assert_eq!(text(), CLEAR_LINE);
        progress.end(&journal);
        assert_eq!(text(), "");
    }
}
