//! Whose datagrams are delivered: the access list of a listener.

use crate::net::access::AccessList;
use crate::observe::tap::Tap;
use crate::sys::Received;

/// Keeps out what the access list refuses. Without a list nothing is refused.
#[derive(Default)]
pub(super) struct Admission {
    list: AccessList,
}

impl Admission {
    /// Delivers only what this list accepts.
    pub(super) fn by(list: AccessList) -> Self {
        Self { list }
    }

    /// Whether the sender is refused. Its datagrams are counted as ignored, then.
    pub(super) fn refuses(&self, received: &Received, tap: &Tap) -> bool {
        let Some(from) = received.from.as_ref().filter(|_| !self.list.is_open()) else {
            return false;
        };
        let is_refused = self.list.refusal(&from.peer).is_some();
        if is_refused {
            tap.ignored(received.count());
        }
        is_refused
    }
}
