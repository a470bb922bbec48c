//! A dialogue with the proxy at the other end of a connection: whoever has the loop lets it go on when
//! the socket is ready.

use std::io;
use std::time::Instant;

use super::dialogue::Dialogue;
use super::place::{Destination, Proxy};
use super::refusal::Step;
use crate::engine::stream::Stream;
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;
use crate::observe::tap::Event;
use crate::run::limits::Limit;

/// Bytes of an answer that are looked at together.
const PIECE: usize = 4096;

/// A dialogue under way.
#[derive(Debug)]
pub(crate) struct Handshake {
    stream: Stream,
    dialogue: Dialogue,
    destination: Destination,
    limit: Limit,
}

impl Handshake {
    /// Asks the proxy at the other end of `stream` for a connection, within `limit`.
    #[must_use]
    pub(crate) fn new(
        stream: Stream,
        proxy: &Proxy,
        destination: &Destination,
        limit: Limit,
    ) -> Self {
        let dialogue = Dialogue::new(proxy, destination);
        Self { stream, dialogue, destination: destination.clone(), limit }
    }

    /// The connection to the proxy.
    #[must_use]
    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Goes on, judged by what was known at `looked_at`; `End` once the connection leads to the
    /// destination. What that has said already is still to be received.
    ///
    /// # Errors
    /// When the proxy refuses or says nonsense, the connection is broken or the limit is over.
    pub(crate) fn step(&mut self, looked_at: Instant) -> Result<Progress> {
        let progress = self.advance()?;
        if progress == Progress::End {
            let line = format!("{} has connected to {}", self.proxy(), self.destination);
            self.stream.tell(&Event::Detail(&line));
        } else if self.limit.is_over(looked_at) {
            let what = format!("{} has not connected to {}", self.proxy(), self.destination);
            return Err(self.limit.error(&what));
        }
        Ok(progress)
    }

    /// How errors name the proxy.
    fn proxy(&self) -> String {
        format!("the proxy {}", self.stream.link().peer)
    }

    fn advance(&mut self) -> Result<Progress> {
        let mut piece = [0; PIECE];
        loop {
            while !self.dialogue.output().is_empty() {
                let transport = self.stream.transport();
                match transport.send(self.dialogue.output()) {
                    Ok(Progress::Moved(n)) if n > 0 => drop(self.dialogue.output().drain(..n)),
                    Ok(other) => return Ok(other),
                    Err(cause) => return Err(self.stream.broken("proxy", &cause)),
                }
            }
            // What follows the answer is not the proxy's any more, and stays to be received.
            match self.stream.transport().peek(&mut piece) {
                Ok(Progress::Moved(n)) if n > 0 => {
                    let (taken, step) = self
                        .dialogue
                        .take(&piece[..n])
                        .map_err(|refusal| refusal.error(&self.proxy(), &self.destination))?;
                    self.remove(&mut piece[..taken])?;
                    if step == Step::Done {
                        return Ok(Progress::End);
                    }
                }
                Ok(Progress::End) => {
                    let why = "closed the connection before its answer was whole";
                    return Err(Error::new(Status::Broken, "proxy", self.proxy(), why));
                }
                Ok(other) => return Ok(other),
                Err(cause) => return Err(self.stream.broken("proxy", &cause)),
            }
        }
    }

    /// Receives what has been looked at.
    fn remove(&self, mut seen: &mut [u8]) -> Result<()> {
        while !seen.is_empty() {
            match self.stream.transport().receive(seen) {
                Ok(Progress::Moved(n)) => seen = &mut seen[n..],
                // It was there a moment ago, and nobody else receives it.
                Ok(Progress::Blocked | Progress::End) => {
                    let cause = io::Error::from(io::ErrorKind::UnexpectedEof);
                    return Err(self.stream.broken("proxy", &cause));
                }
                Err(cause) => return Err(self.stream.broken("proxy", &cause)),
            }
        }
        Ok(())
    }

    /// The stream, once it leads to the destination; or what is left when it does not.
    #[must_use]
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }
}
