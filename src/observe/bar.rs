//! A progress bar on the terminal: the observer behind `--progress`.
//!
//! It reads the counters ten times a second and sees no bytes, so that the kernel may still splice
//! them. What it draws goes through the journal of standard error like all other text: a terminal
//! that is stopped (Ctrl-S) does not stop the traffic.

use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::observe::journal::Journal;
use crate::observe::paper::{CLEAR_LINE, Paper};
use crate::observe::tap::{Event, Observer, Summary, Transfer};

/// Time between two redraws.
const PERIOD: Duration = Duration::from_millis(100);

/// Template for when the size of the input is known.
const KNOWN: &str = "{percent:>3}% [{wide_bar}] {binary_bytes}/{binary_total_bytes}{msg} {binary_bytes_per_sec} ETA {eta}";

/// Template for when it is not known.
const UNKNOWN: &str = "{spinner} {msg} {binary_bytes_per_sec} {elapsed}";

/// Draws the counters as a bar.
#[derive(Debug)]
pub(crate) struct Bar {
    journal: Journal,
    paper: Paper,
    bar: ProgressBar,
    /// Bytes that standard input holds, if known.
    size: Option<u64>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is drawn.
    Clear,
    /// The bar is in the last line.
    Drawn,
    /// The run is over.
    Done,
}

impl Bar {
    /// A bar that is drawn into this journal; `size` is the number of bytes to send, if known.
    #[must_use]
    pub(crate) fn new(journal: Journal, size: Option<u64>) -> Self {
        let paper = Paper::default();
        // This kind of target has no refresh limit of its own; PERIOD is the limit.
        let target = ProgressDrawTarget::term_like(Box::new(paper.clone()));
        let template = if size.is_some() { KNOWN } else { UNKNOWN };
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        // ASCII only, for every locale.
        let style = style.progress_chars("=> ").tick_chars("|/-\\ ");
        let bar = ProgressBar::with_draw_target(size, target).with_style(style);
        Self { journal, paper, bar, size, state: State::Clear }
    }

    /// Removes the bar, so that a line can be printed in its place.
    fn clear(&mut self) {
        if self.state == State::Drawn {
            self.state = State::Clear;
            self.journal.append(|text| text.extend_from_slice(CLEAR_LINE.as_bytes()));
        }
    }
}

impl Observer for Bar {
    fn wants_bytes(&self) -> bool {
        false
    }

    fn transfer(&mut self, _: Duration, _: &Transfer<'_>) {}

    fn event(&mut self, _: Duration, event: &Event<'_>) {
        self.clear();
        if matches!(event, Event::Summary(counters) if counters.last) {
            self.state = State::Done;
        }
    }

    fn period(&self) -> Option<Duration> {
        Some(PERIOD)
    }

    fn tick(&mut self, counters: &Summary) {
        // If the terminal has not taken the last drawing, another one would only pile up.
        if self.state == State::Done || !self.journal.is_empty() {
            return;
        }
        let (sent, received) = (counters.sent_bytes, counters.received_bytes);
        let received_text = HumanBytes(received);
        match self.size {
            Some(_) => {
                self.bar.set_position(sent);
                if received > 0 {
                    self.bar.set_message(format!(", received {received_text}"));
                }
            }
            None => {
                self.bar.set_position(sent + received);
                self.bar
                    .set_message(format!("sent {}, received {received_text}", HumanBytes(sent)));
            }
        }
        // Each of these calls has drawn the bar; only the last drawing is of use.
        self.paper.take();
        self.bar.tick();
        let drawing = self.paper.take();
        if !drawing.is_empty() {
            self.journal.append(|text| text.extend_from_slice(drawing.as_bytes()));
            self.state = State::Drawn;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::address::Protocol;
    use crate::observe::connections::Connections;

    fn counters(sent_bytes: u64, last: bool) -> Summary {
        Summary {
            protocol: Protocol::Tcp,
            elapsed: Duration::from_secs(1),
            sent_bytes,
            sent_messages: 1,
            received_bytes: 2048,
            received_messages: 1,
            kernel_drops: 0,
            cut: 0,
            peers: 0,
            ignored: 0,
            unsent: 0,
            impaired: None,
            connections: Connections::default(),
            last,
            status: None,
        }
    }

    fn text(journal: &Journal) -> String {
        let mut text = Vec::new();
        journal.append(|out| text = std::mem::take(out));
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn it_draws_one_line_and_leaves_none_behind() {
        let journal = Journal::default();
        let mut progress = Bar::new(journal.clone(), Some(4096));
        progress.tick(&counters(1024, false));
        let drawn = text(&journal);
        assert!(drawn.contains(" 25% [") && drawn.contains("1.00 KiB/4.00 KiB"), "{drawn:?}");
        assert!(drawn.contains("received 2.00 KiB") && !drawn.contains('\n'), "{drawn:?}");
        progress.event(Duration::ZERO, &Event::Summary(&counters(1024, true)));
        assert_eq!(text(&journal), CLEAR_LINE);
        progress.tick(&counters(2048, false));
        assert_eq!(text(&journal), "");
    }

    #[test]
    fn a_terminal_that_takes_nothing_is_not_drawn_on_again() {
        let journal = Journal::default();
        let mut progress = Bar::new(journal.clone(), None);
        progress.tick(&counters(0, false));
        progress.tick(&counters(1 << 20, false));
        assert!(!text(&journal).contains("1.00 MiB"));
        progress.tick(&counters(1 << 20, false));
        assert!(text(&journal).contains("sent 1.00 MiB, received 2.00 KiB"));
    }
}
