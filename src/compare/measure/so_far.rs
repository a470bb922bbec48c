//! What is told in between, when SIGUSR1 asks: a line for each protocol whose messages have been sent or are on
//! their way.

use std::time::Duration;

use crate::compare::measure::account::At;
use crate::compare::measure::ledger::Ledger;
use crate::net::address::Protocol;
use crate::observe::report::counted;
use crate::run::session::Session;

/// The runs so far.
#[derive(Debug, Default)]
pub(crate) struct SoFar {
    /// The lines of those that are over.
    done: Vec<String>,
}

impl SoFar {
    /// A run is over.
    pub(crate) fn end(&mut self, line: String) {
        self.done.push(line);
    }

    /// Tells, if somebody has asked; `present` is the run on its way.
    pub(crate) fn tell(&self, session: &mut Session, present: impl FnOnce() -> Option<String>) {
        if !session.is_asked() {
            return;
        }
        let lines = self.done.iter().cloned().chain(present()).collect::<Vec<_>>();
        let journal = session.console.journal();
        if lines.is_empty() {
            journal.line("nothing is sent yet");
        }
        lines.iter().for_each(|line| journal.line(line));
    }
}

/// `tcp: sent 30 of 1000 messages, received 29, lost 0, still awaited 1, 0.612 s`
#[must_use]
pub(crate) fn line(protocol: Protocol, ledger: &Ledger, of: u64, since: At) -> String {
    let counts = ledger.account.counts();
    let (sent, received) = (ledger.account.sent_so_far(), counts.received);
    let late = match counts.late {
        0 => String::new(),
        late => format!(", late {late}"),
    };
    let (of, seconds) = (counted(of, "message"), Duration::as_secs_f64(&since));
    // What may still come is not lost.
    let awaited = ledger.account.open();
    let lost = counts.lost.saturating_sub(awaited);
    let awaited = match awaited {
        0 => String::new(),
        awaited => format!(", still awaited {awaited}"),
    };
    format!(
        "{protocol}: sent {sent} of {of}, received {received}{late}, lost {lost}{awaited}, {seconds:.3} s"
    )
}
