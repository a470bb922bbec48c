//! The tap of the clients' side: what passes is reported at TO's side, once.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::observe::tap::{Event, Observer, Tap, Transfer};
use crate::run::session::Session;

/// Hands what has to be known of these sockets to the tap of the run: errors, and how TLS and the proxy went.
struct Passing(Rc<Tap>);

impl Observer for Passing {
    fn wants_bytes(&self) -> bool {
        false
    }

    fn transfer(&mut self, _: Duration, _: &Transfer<'_>) {}

    fn event(&mut self, _: Duration, event: &Event<'_>) {
        if matches!(event, Event::Error(_) | Event::Tls(..) | Event::Detail(_)) {
            self.0.event(event);
        }
    }
}

/// A tap for the sockets that clients are on.
#[must_use]
pub(crate) fn unheard(session: &Session) -> Rc<Tap> {
    let tap = Tap::new(Instant::now());
    tap.add(Box::new(Passing(Rc::clone(&session.tap))));
    Rc::new(tap)
}
