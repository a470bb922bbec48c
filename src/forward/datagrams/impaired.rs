//! Datagrams on their way through the bad network that was asked for.

use std::time::Instant;

use super::{DatagramForwarder, send};
use crate::forward::association::{Association, Handed};
use crate::forward::impair::Way;
use crate::run::session::Session;

impl DatagramForwarder {
    /// Lets what a client has sent into the bad network; `false` where there is none upwards.
    pub(super) fn impair_up(&mut self, place: usize, bytes: &[u8], segment: usize) -> bool {
        let now = Instant::now();
        let Some(member) = self.members.get_mut(place) else { return false };
        let Some(lines) = &mut member.lines else { return false };
        let segment = segment.max(1);
        let mut messages = bytes.chunks(segment).chain(bytes.is_empty().then_some(bytes));
        if !messages.all(|message| lines.push(Way::Up, message, now)) {
            return false;
        }
        if member.queued() == 0 {
            member.last = now;
        }
        self.members.list(place);
        true
    }

    /// Lets the answers that have come into the bad network; those that have arrived are answers.
    pub(super) fn impair_down(&mut self, member: &mut Association) {
        let Some(lines) = &mut member.lines else { return };
        let now = Instant::now();
        let mut any = false;
        while let Some((frame, bytes)) = self.down.front() {
            if !frame.messages(bytes).all(|message| lines.push(Way::Down, message, now)) {
                return;
            }
            self.down.pop();
            any = true;
        }
        if any {
            self.down.reset();
        }
        while let Some(message) = lines.pop(Way::Down, now) {
            self.down.push(&[&message]);
        }
    }

    /// Hands over what has arrived at TO's side; whether there was anything.
    pub(super) fn pass_arrived(&mut self, member: &mut Association, session: &mut Session) -> bool {
        let now = Instant::now();
        let mut any = false;
        while let Some(message) = member.lines.as_mut().and_then(|lines| lines.pop(Way::Up, now)) {
            any = true;
            let segment = message.len().max(1);
            let message = (&*message, segment);
            let Self { front, settings, .. } = self;
            let handed = send(front, settings, member, message, session);
            // What has been on its way does not wait any more.
            if matches!(handed, Handed::NoRoom) {
                session.tap.unsent(1);
            }
        }
        any
    }

    /// Counts what the bad network has done to a client's datagrams.
    pub(super) fn count_hits(member: &mut Association, session: &Session) {
        if let Some(more) = member.lines.as_mut().and_then(|lines| lines.news()) {
            session.tap.impaired(more);
        }
    }
}
