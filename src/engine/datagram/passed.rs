//! What has passed through a datagram socket: counted, and reported to the observers.

use std::cell::Cell;
use std::rc::Rc;

use crate::observe::tap::{Activity, Link, Tap};
use crate::sys::{Received, segmented};

/// The counts, and the observers.
pub(super) struct Passed {
    activity: Cell<Activity>,
    /// Reports to the observers.
    pub tap: Rc<Tap>,
}

impl Passed {
    /// Nothing has passed yet.
    pub(super) fn new(tap: Rc<Tap>) -> Self {
        Self { activity: Cell::default(), tap }
    }

    /// How much has passed, with all peers together.
    pub(super) fn activity(&self) -> Activity {
        self.activity.get()
    }

    /// What passed through the socket before this one counts, too.
    pub(super) fn add(&self, before: &Self) {
        self.note(|activity| *activity = *activity + before.activity());
    }

    fn note(&self, count: impl FnOnce(&mut Activity)) {
        let mut activity = self.activity.get();
        count(&mut activity);
        self.activity.set(activity);
    }

    /// This many datagrams were sent in one call.
    pub(super) fn sent(&self, bytes: &[u8], segment: usize, messages: usize, link: Option<&Link>) {
        self.note(|activity| activity.sent(messages));
        match link {
            Some(link) if self.tap.is_watched() => {
                for message in segmented::messages(bytes, segment) {
                    self.tap.sent(link, message);
                }
            }
            link => self.tap.sent_unseen(link, bytes.len(), messages),
        }
    }

    /// One or more datagrams of the same peer were received.
    pub(super) fn received(&self, bytes: &[u8], received: &Received, link: Option<&Link>) {
        self.note(|activity| activity.received(received.count()));
        match link {
            Some(link) if self.tap.is_watched() || received.cut_from.is_some() => {
                for message in segmented::messages(bytes, received.segment) {
                    self.tap.received(link, message, received.cut_from);
                }
            }
            link => self.tap.received_unseen(link, bytes.len(), received.count()),
        }
    }
}
