//! A client that speaks in a stream of messages, and a datagram socket connected to TO.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::engine::batch::Batch;
use crate::engine::datagram::Datagram;
use crate::engine::flow::Source as _;
use crate::error::{Error, Result};
use crate::forward::messages::MessageStream;
use crate::io::progress::Progress;
use crate::observe::tap::Tap;

/// How long answers are waited for after the client's FIN, restarted by each: datagrams have no end.
const LINGER: Duration = Duration::from_secs(1);

/// How often sending is tried again after the network has said something about an earlier datagram.
const TRIES: usize = 3;

/// A client's stream of messages, and what it is connected to.
pub(super) struct Crossing {
    client: MessageStream,
    far: Datagram,
    /// Messages of the client that are not sent yet.
    up: Batch,
    /// When the client's FIN came.
    ended: Option<Instant>,
    /// When something passed last, either way.
    last: Instant,
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
    pub(super) fn new(client: MessageStream, far: Datagram, tap: Rc<Tap>, now: Instant) -> Self {
        Self { client, far, up: Batch::new(0), ended: None, last: now, tap }
    }

    pub(super) fn client(&self) -> &MessageStream {
        &self.client
    }

    pub(super) fn far(&self) -> &Datagram {
        &self.far
    }

    /// When something passed last.
    pub(super) fn last(&self) -> Instant {
        self.last
    }

    /// Moves what can be moved; `tell` is given what the network says about datagrams.
    pub(super) fn turn(
        &mut self,
        room: &mut [u8],
        datagrams: &mut Batch,
        looked_at: Instant,
        mut tell: impl FnMut(Error),
    ) -> Turn {
        let moved = match self.step(room, datagrams, &mut tell) {
            Ok(moved) => moved,
            Err(error) => return Turn::Broken(error),
        };
        if moved {
            self.last = Instant::now();
            return Turn::Moved;
        }
        let is_over = self.ended.is_some_and(|at| looked_at >= at.max(self.last) + LINGER);
        if !is_over || !self.up.is_empty() || !self.client.is_empty() {
            return Turn::Idle;
        }
        match self.client.close_write() {
            Ok(_) => Turn::Done,
            Err(error) => Turn::Broken(error),
        }
    }

    /// When to have a turn though nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ended.map(|at| at.max(self.last) + LINGER)
    }

    fn step(
        &mut self,
        room: &mut [u8],
        datagrams: &mut Batch,
        tell: &mut impl FnMut(Error),
    ) -> Result<bool> {
        let mut moved = self.client.flush()?;
        if self.up.is_empty() && self.ended.is_none() {
            let up = &mut self.up;
            match self.client.receive(room, |message| up.push(&[message]))? {
                Progress::Moved(_) => moved = true,
                Progress::Blocked => {}
                Progress::End => {
                    self.ended = Some(Instant::now());
                    moved = true;
                }
            }
        }
        moved |= self.send(tell);
        if self.client.has_room() {
            match self.far.fill(datagrams) {
                Ok(Progress::Moved(_)) => {
                    moved = true;
                    while let Some((frame, bytes)) = datagrams.front() {
                        frame.messages(bytes).for_each(|message| self.client.push(message));
                        datagrams.pop();
                    }
                }
                Ok(Progress::Blocked | Progress::End) => {}
                Err(error) => {
                    tell(error);
                    moved = true;
                }
            }
        }
        Ok(moved | self.client.flush()?)
    }

    /// Sends what the client has said; whether anything was dealt with.
    fn send(&mut self, tell: &mut impl FnMut(Error)) -> bool {
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
                    tell(error);
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
