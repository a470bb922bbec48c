//! What comes before bytes pass where TLS or a proxy is on the way: with the client, and with TO.

use std::rc::Rc;
use std::time::Instant;

use super::{Closed, Forwarder, Idle, Member, Next, Stage, Told};
use crate::engine::ends::Standing as _;
use crate::engine::stream::Stream;
use crate::io::progress::Progress;
use crate::observe::tap::{Activity, Link};
use crate::run::session::Session;
use crate::setup::opening::Outcome;

impl Forwarder {
    /// A client has come: TLS begins with it, or it is led on at once.
    pub(super) fn begin(&mut self, client: Stream, link: Link, session: &mut Session) {
        let (now, latch) = (Instant::now(), Rc::clone(client.latch()));
        let stage = match &self.settings.welcome {
            None => match self.lead_on(client, &link, session) {
                Some(stage) => stage,
                None => return,
            },
            Some(acceptor) => match acceptor.begin(client, self.settings.passage.limit(now)) {
                Ok(handshake) => Stage::Welcoming(handshake),
                Err(error) => {
                    session.reactor.release(&latch);
                    return self.failed(error, &link, Closed::Untold, session);
                }
            },
        };
        let idle = Idle { seen: Activity::default(), since: now };
        let (link, told) = (Rc::new(link), Told::default());
        let place = self.members.add(Box::new(Member { link, stage, idle, told }));
        self.members.own(latch.id(), place);
    }

    /// A client may speak now: TO is dialled, or its stream led to datagrams. `None` where that has failed, of
    /// which everybody is told.
    fn lead_on(&mut self, client: Stream, link: &Link, session: &mut Session) -> Option<Stage> {
        match self.settings.datagrams {
            Some(format) => self.cross(client, link, format, session),
            None => Some(Stage::Reaching(client, self.settings.passage.dial(Instant::now()))),
        }
    }

    /// The client's handshake goes on.
    pub(super) fn turn_of_welcoming(
        &mut self,
        mut member: Box<Member>,
        session: &mut Session,
    ) -> Next {
        let Stage::Welcoming(handshake) = &mut member.stage else { return Next::Gone };
        let deadline = handshake.deadline();
        match handshake.step(session.looked_at()) {
            Ok(Progress::Moved(_)) => return Next::Again(member),
            Ok(Progress::Blocked) => return Next::Wait(member, Some(deadline)),
            Ok(Progress::End) => {}
            Err(error) => {
                let Member { link, stage, .. } = *member;
                if let Stage::Welcoming(handshake) = stage {
                    handshake.give_up(session);
                }
                self.failed(error, &link, Closed::Untold, session);
                return Next::Gone;
            }
        }
        let Member { link, stage, idle, told } = *member;
        let Stage::Welcoming(handshake) = stage else { return Next::Gone };
        match self.lead_on(handshake.into_stream(), &link, session) {
            Some(stage) => Next::Again(Box::new(Member { link, stage, idle, told })),
            None => Next::Gone,
        }
    }

    /// TO is connected to: the proxy and TLS come first, where there are any.
    pub(super) fn open(&mut self, member: Member, server: Stream, session: &mut Session) -> Next {
        let Member { link, stage, idle, told } = member;
        let Stage::Reaching(client, _) = stage else { return Next::Gone };
        match self.settings.passage.open(server, session) {
            Ok(opening) => {
                let stage = Stage::Opening(client, Box::new(opening));
                Next::Again(Box::new(Member { link, stage, idle, told }))
            }
            Err(error) => self.unreached(&client, &link, error, Closed::Told, session),
        }
    }

    /// The way to TO goes on opening.
    pub(super) fn turn_of_opening(&mut self, member: Member, session: &mut Session) -> Next {
        let Member { link, stage, idle, told } = member;
        let Stage::Opening(client, opening) = stage else { return Next::Gone };
        // A client that has left needs no connection any more.
        if let Err(error) = client.check() {
            session.reactor.release(client.latch());
            opening.stream().abort();
            opening.give_up(session);
            self.broke(error, &link, session);
            return Next::Gone;
        }
        let deadline = opening.deadline();
        let (stage, waits) = match opening.step(session) {
            Ok(Outcome::Waits(opening)) => (Stage::Opening(client, Box::new(opening)), true),
            Ok(Outcome::Interrupted(opening)) => (Stage::Opening(client, Box::new(opening)), false),
            Ok(Outcome::Ready(server)) => {
                (Stage::Joined(self.tunnel(client, server, &link)), false)
            }
            Err(error) => return self.unreached(&client, &link, error, Closed::Told, session),
        };
        let member = Box::new(Member { link, stage, idle, told });
        if waits { Next::Wait(member, Some(deadline)) } else { Next::Again(member) }
    }
}
