//! A client that speaks in a stream of messages, and a datagram socket for TO.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::engine::batch::Batch;
use crate::engine::datagram::Datagram;
use crate::engine::datagram::complaints::Complaints;
use crate::engine::flow::Source as _;
use crate::error::{Error, Result};
use crate::forward::TRIES;
use crate::forward::impair::{Lines, Way};
use crate::forward::messages::MessageStream;
use crate::io::progress::Progress;
use crate::observe::hits::Hits;
use crate::observe::tap::{Event, Link, Side, Tap};

/// How long answers are waited for after the client's FIN, restarted by each: datagrams have no end.
const LINGER: Duration = Duration::from_secs(1);

/// A client's stream of messages, and the socket that they leave by.
pub(super) struct Crossing {
    client: MessageStream,
    far: Datagram,
    /// Messages of the client that are not sent yet.
    up: Batch,
    /// The bad network that was asked for.
    lines: Option<Box<Lines>>,
    /// When the client's FIN came.
    ended: Option<Instant>,
    /// Why nothing more comes from the client: what it said before is sent first.
    broken: Option<Error>,
    /// When something passed last, either way.
    last: Instant,
    /// What the network said last of the way to TO, where that is kept for the end.
    refusal: Option<Error>,
    /// How often that is told.
    complaints: Complaints,
    /// Whether our half of the client's connection is being ended: nothing more is sent on it.
    is_closing: bool,
    tap: Rc<Tap>,
}

/// What became of a turn.
pub(super) enum Turn {
    /// Something moved; there may be more.
    Moved,
    /// Nothing can be done before an end is ready or a deadline has come.
    Idle,
    /// The client's FIN has come, and answers have stopped coming.
    Done,
    /// The client's connection broke, or what it sent is no message.
    Broken(Error),
}

impl Crossing {
    pub(super) fn new(
        client: MessageStream,
        far: Datagram,
        lines: Option<Box<Lines>>,
        tap: Rc<Tap>,
        now: Instant,
    ) -> Self {
        let (up, last, is_closing) = (Batch::new(0), now, false);
        let (ended, broken, refusal) = (None, None, None);
        let complaints = Complaints::default();
        Self { client, far, up, lines, ended, broken, last, refusal, complaints, is_closing, tap }
    }

    pub(super) fn client(&self) -> &MessageStream {
        &self.client
    }

    pub(super) fn far(&self) -> &Datagram {
        &self.far
    }

    /// Since when nothing has passed; `None` while something is under way. What waits for a client that takes
    /// nothing is not under way.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let is_under_way = self.client.queue().is_empty()
            && self.lines.as_ref().is_some_and(|lines| !lines.is_empty());
        (!is_under_way).then_some(self.last)
    }

    /// Moves what can be moved; `tell` is given what the network says about datagrams, and may let them
    /// go to another address.
    pub(super) fn turn(
        &mut self,
        room: &mut [u8],
        datagrams: &mut Batch,
        looked_at: Instant,
        mut tell: impl FnMut(&mut Datagram, &mut Complaints, Error),
    ) -> Turn {
        if self.is_closing {
            return self.close();
        }
        let moved = match self.step(room, datagrams, &mut tell) {
            Ok(moved) => moved,
            Err(error) => return Turn::Broken(error),
        };
        if moved {
            self.last = Instant::now();
            return Turn::Moved;
        }
        if self.over_at().is_none_or(|at| looked_at < at) {
            return Turn::Idle;
        }
        self.is_closing = true;
        self.close()
    }

    /// Ends our half of the client's connection. Datagrams know no end: to observers this is TO's.
    fn close(&mut self) -> Turn {
        match self.client.close_write() {
            Ok(Progress::End) => {
                self.told_of(Event::PeerClosed);
                Turn::Done
            }
            // Interrupted by a signal.
            Ok(Progress::Moved(_)) => Turn::Moved,
            // What TLS has taken has to leave before.
            Ok(Progress::Blocked) => Turn::Idle,
            Err(error) => Turn::Broken(error),
        }
    }

    /// It is over before its time: the client must not take that for an ordinary end.
    pub(super) fn reset(&self) {
        let client = self.client.stream();
        match client.link().reset_by() {
            Some(Side::Peers) => self.told_of(Event::WeReset),
            _ if client.link().is_tcp() => self.told_of(Event::CutOff),
            _ => {}
        }
        client.abort();
    }

    /// Whether the client's connection was [reset](Self::reset) though nobody else had reset it.
    pub(super) fn was_cut_off(&self) -> bool {
        self.client.stream().link().reset_by() != Some(Side::Peers)
    }

    /// Tells observers of what has become of the client's connection, by what passes between it and TO.
    fn told_of<'a>(&'a self, event: impl FnOnce(&'a Link) -> Event<'a>) {
        if let Some(link) = self.far.link() {
            self.tap.event(&event(link));
        }
    }

    /// Keeps what the network has said of the way to TO.
    pub(super) fn keep(&mut self, refusal: Error) {
        self.refusal = Some(refusal);
    }

    /// What the network said last and was [kept](Self::keep), where nobody has ever answered.
    pub(super) fn take_refusal(&mut self) -> Option<Error> {
        self.refusal.take().filter(|_| self.far.activity().arrived == 0)
    }

    /// When to have a turn though nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let arrival = self.lines.as_ref().and_then(|lines| lines.deadline());
        let over = self.over_at().filter(|_| !self.is_closing);
        let room = self.far.again_at().filter(|_| !self.up.is_empty());
        [over, arrival, room].into_iter().flatten().min()
    }

    /// When it is over unless something passes before; `None` while something is under way.
    fn over_at(&self) -> Option<Instant> {
        let is_idle = self.up.is_empty()
            && self.client.queue().is_empty()
            && self.lines.as_ref().is_none_or(|lines| lines.is_empty());
        self.ended.filter(|_| is_idle).map(|at| at.max(self.last) + LINGER)
    }

    /// How many messages are lost when it ends now.
    pub(super) fn unsent(&self) -> usize {
        let on_their_way = self.lines.as_ref().map_or(0, |lines| lines.len());
        self.up.len() + self.client.queue().len() + on_their_way
    }

    /// What the bad network has done since the last call.
    pub(super) fn hits(&mut self) -> Option<[Hits; 2]> {
        self.lines.as_mut().and_then(|lines| lines.news())
    }

    fn step(
        &mut self,
        room: &mut [u8],
        datagrams: &mut Batch,
        tell: &mut impl FnMut(&mut Datagram, &mut Complaints, Error),
    ) -> Result<bool> {
        if self.broken.is_some() {
            return self.send_the_rest(tell);
        }
        let mut moved = match self.client.flush(|_| {}) {
            Ok(moved) => moved,
            Err(error) => return self.broke(error, tell),
        };
        let mut has_ended = false;
        if self.up.is_empty() && self.ended.is_none() {
            let (up, lines, now) = (&mut self.up, &mut self.lines, Instant::now());
            let take = |message: &[u8]| {
                if !enters(lines, Way::Up, message, now) {
                    up.push(&[message]);
                }
            };
            match self.client.receive(room, take) {
                Ok(Progress::Moved(_)) => moved = true,
                Ok(Progress::Blocked) => {}
                Ok(Progress::End) => {
                    self.ended = Some(Instant::now());
                    has_ended = true;
                }
                Err(error) => return self.broke(error, tell),
            }
        }
        self.take_arrived();
        moved |= self.send(tell) | has_ended;
        if has_ended {
            self.told_of(Event::WeClosed);
        }
        if self.client.queue().has_room() {
            match self.far.fill(datagrams) {
                Ok(Progress::Moved(_)) => {
                    moved = true;
                    let now = Instant::now();
                    while let Some((frame, bytes)) = datagrams.front() {
                        for message in frame.messages(bytes) {
                            if !enters(&mut self.lines, Way::Down, message, now) {
                                self.client.queue_mut().push(message);
                            }
                        }
                        datagrams.pop();
                    }
                }
                Ok(Progress::Blocked | Progress::End) => {}
                Err(error) => {
                    tell(&mut self.far, &mut self.complaints, error);
                    moved = true;
                }
            }
        }
        match self.client.flush(|_| {}) {
            Ok(flushed) => Ok(moved | flushed),
            Err(error) => self.broke(error, tell),
        }
    }

    /// Nothing more comes from the client.
    fn broke(
        &mut self,
        error: Error,
        tell: &mut impl FnMut(&mut Datagram, &mut Complaints, Error),
    ) -> Result<bool> {
        self.broken = Some(error);
        self.send_the_rest(tell)
    }

    /// Sends what the client has said before it broke, or before what is no message.
    ///
    /// # Errors
    /// That of the client, once all is sent.
    fn send_the_rest(
        &mut self,
        tell: &mut impl FnMut(&mut Datagram, &mut Complaints, Error),
    ) -> Result<bool> {
        self.take_arrived();
        let moved = self.send(tell);
        let is_sent =
            self.up.is_empty() && self.lines.as_ref().is_none_or(|lines| lines.is_clear(Way::Up));
        match self.broken.take_if(|_| is_sent) {
            Some(error) => Err(error),
            None => Ok(moved),
        }
    }

    /// Takes what has passed the bad network.
    fn take_arrived(&mut self) {
        let Some(lines) = &mut self.lines else { return };
        let now = Instant::now();
        while let Some(message) = lines.pop(Way::Up, now) {
            self.up.push(&[&message]);
        }
        while let Some(message) = lines.pop(Way::Down, now) {
            if !self.client.queue_mut().take(&message) {
                self.tap.unsent(1);
            }
        }
    }

    /// Sends what the client has said; whether anything was dealt with.
    fn send(&mut self, tell: &mut impl FnMut(&mut Datagram, &mut Complaints, Error)) -> bool {
        let mut moved = false;
        let mut tries = TRIES;
        while let Some((frame, bytes)) = self.up.front() {
            match self.far.send_to_peer(bytes, frame.segment.max(1)) {
                Ok(None) => break,
                Ok(Some(_)) => {
                    self.up.pop();
                    tries = TRIES;
                }
                Err(error) => {
                    tell(&mut self.far, &mut self.complaints, error);
                    tries -= 1;
                    if tries > 0 {
                        // It was about an earlier one.
                        continue;
                    }
                    self.tap.unsent(1);
                    self.up.pop();
                    tries = TRIES;
                }
            }
            moved = true;
        }
        moved
    }
}

/// Lets a message into the bad network; `false` where there is none this way.
fn enters(lines: &mut Option<Box<Lines>>, way: Way, message: &[u8], now: Instant) -> bool {
    lines.as_mut().is_some_and(|lines| lines.push(way, message, now))
}
