//! A dialogue: what is waited for in what is received (`--expect`), and what is said in answer
//! (`--send`), in the order of the words on the command line.
//!
//! It opens nothing and reads no clock. It is told what is received, and says which message may leave
//! and whether all has come. Each pattern is looked for behind the match of the one before it, as in
//! a text of its own; of datagrams each is a text of its own.

mod instead;
mod pattern;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::engine::batch::Batch;
use crate::engine::ends::Reader;
use crate::engine::flow::Source;
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;
use crate::io::splice_end::SpliceEnd;
use instead::Instead;
use pattern::Search;

pub(crate) use pattern::Pattern;

/// The limits of what comes before a dialogue; they have a status of their own.
const SET_UP: [&str; 2] = ["--connect-timeout", "--accept-timeout"];

/// A pattern, and how many messages stand before it on the command line.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// What is waited for.
    pub pattern: Pattern,
    /// How many messages are sent before.
    pub after: usize,
}

/// What a pattern is looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Within {
    /// A stream of bytes, however it is cut.
    Stream,
    /// One datagram.
    Datagram,
}

/// What is to be said next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// This message.
    Message(Vec<u8>),
    /// Nothing before what is waited for has come.
    Wait,
    /// Nothing more.
    Nothing,
}

/// What a dialogue means for the end of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prospect {
    /// Nothing: all has come, and the last word was ours.
    Open,
    /// Something is waited for.
    Waiting,
    /// All has come, and with it the run ends.
    Met,
    /// The peer has ended, and what is waited for cannot come any more.
    Hopeless,
}

/// A dialogue that the source of messages, the relay and the command share.
pub(crate) type Shared = Rc<RefCell<Dialogue>>;

/// How far a dialogue has come.
#[derive(Debug)]
pub(crate) struct Dialogue {
    within: Within,
    /// The messages that have not been taken yet.
    messages: VecDeque<Vec<u8>>,
    taken: usize,
    /// What has not come yet.
    expected: VecDeque<Expected>,
    /// The search for the first of them.
    search: Option<Search>,
    /// Whether a message is the last word.
    ends_in_message: bool,
    instead: Instead,
    peer_ended: bool,
    /// Whether nobody wants to know any more.
    abandoned: bool,
    /// Whom it is with, for errors.
    peer: String,
}

impl Dialogue {
    /// A dialogue that begins now.
    pub(crate) fn new(within: Within, messages: Vec<Vec<u8>>, expected: Vec<Expected>) -> Self {
        let ends_in_message = expected.last().is_none_or(|last| last.after < messages.len());
        Self {
            within,
            messages: messages.into(),
            taken: 0,
            expected: expected.into(),
            search: None,
            ends_in_message,
            instead: Instead::default(),
            peer_ended: false,
            abandoned: false,
            peer: String::new(),
        }
    }

    /// Whom it is with.
    pub(crate) fn with(&mut self, peer: String) {
        self.peer = peer;
    }

    /// The next message, if it may leave.
    pub(crate) fn next(&mut self) -> Next {
        if self.messages.is_empty() {
            // The last word is the peer's: the sending half stays open until it has come.
            return if self.is_waiting() { Next::Wait } else { Next::Nothing };
        }
        if !self.may_speak() {
            return Next::Wait;
        }
        self.taken += 1;
        self.messages.pop_front().map_or(Next::Nothing, Next::Message)
    }

    /// Whether a message may leave now.
    pub(crate) fn may_speak(&self) -> bool {
        let waits = self.expected.front().is_some_and(|first| first.after <= self.taken);
        !waits && !self.messages.is_empty()
    }

    /// Whether everything has been said that may be, and an answer is waited for.
    pub(crate) fn awaits_answer(&self) -> bool {
        self.speaks() && self.is_waiting() && !self.may_speak()
    }

    /// Whether it has messages, which are sent instead of standard input.
    pub(crate) fn speaks(&self) -> bool {
        self.taken > 0 || !self.messages.is_empty()
    }

    /// Whether something has not come yet.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.expected.is_empty() && !self.abandoned
    }

    /// Nobody wants to know any more what comes.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// What it means for the end of the run.
    pub(crate) fn prospect(&self) -> Prospect {
        match (self.is_waiting(), self.peer_ended) {
            (true, true) => Prospect::Hopeless,
            (true, false) => Prospect::Waiting,
            (false, _) if self.ends_in_message || self.abandoned => Prospect::Open,
            // Messages that stand before the last pattern are still to leave.
            (false, _) if self.messages.is_empty() => Prospect::Met,
            (false, _) => Prospect::Waiting,
        }
    }

    /// This was received: bytes of the stream, or a datagram.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        match self.within {
            Within::Stream => self.hear_stream(bytes),
            Within::Datagram => self.hear_datagram(bytes),
        }
    }

    fn hear_stream(&mut self, mut bytes: &[u8]) {
        // Where nothing has come, nothing is looked for: then a pattern that matches nothing waits
        // for whatever comes next.
        while let Some(Expected { pattern, .. }) = self.expected.front()
            && !bytes.is_empty()
        {
            let search = self.search.get_or_insert_with(|| Search::new(pattern));
            let Some(end) = search.feed(pattern, bytes) else { break };
            bytes = &bytes[end..];
            self.has_come();
        }
        self.instead.add(bytes);
    }

    fn hear_datagram(&mut self, bytes: &[u8]) {
        let Some(Expected { pattern, .. }) = self.expected.front() else { return };
        let mut search = Search::new(pattern);
        if search.feed(pattern, bytes).is_some() || search.matches_at_end(pattern) {
            self.has_come();
        } else {
            self.instead.add_datagram(bytes);
        }
    }

    /// The peer's end has come: no more bytes will.
    pub(crate) fn peer_ended(&mut self) {
        self.peer_ended = true;
        while let Some(Expected { pattern, .. }) = self.expected.front() {
            let search = self.search.get_or_insert_with(|| Search::new(pattern));
            if !search.matches_at_end(pattern) {
                break;
            }
            self.has_come();
        }
    }

    fn has_come(&mut self) {
        self.expected.pop_front();
        self.search = None;
        self.instead = Instead::default();
    }

    /// What the run ends with, where it would end with this. `enough` says that as many messages as
    /// were asked for have come.
    ///
    /// # Errors
    /// The same error, or that what was waited for has not come.
    pub(crate) fn settle(&self, result: Result<()>, enough: bool) -> Result<()> {
        let limit = match &result {
            Err(error) => error.limit().filter(|(_, option)| !SET_UP.contains(option)),
            Ok(()) => None,
        };
        let Some(first) = self.expected.front().filter(|_| self.is_waiting()) else {
            return match self.prospect() {
                // It came with the last that was read.
                Prospect::Met if limit.is_some() => Ok(()),
                _ => result,
            };
        };
        let (why, hint) = match (limit, &result) {
            (Some((why, option)), _) => (why.to_owned(), Some(option)),
            (None, Err(_)) => return result,
            (None, Ok(())) if self.peer_ended => ("the peer ended".to_owned(), None),
            (None, Ok(())) if enough => ("--count messages did".to_owned(), None),
            (None, Ok(())) => ("it has been silent".to_owned(), Some("--linger waits longer")),
        };
        let hint = hint.map_or_else(String::new, |hint| format!("{hint}; "));
        let why = format!("{} did not come: {why}", first.pattern.shown());
        let error = Error::new(Status::Unmet, "expect", &self.peer, why);
        Err(error.hint(format!("{hint}{}", self.instead)))
    }
}

/// Whether an answer is waited for, and nothing else: all that may be said is said, and has been sent.
pub(crate) fn awaits_answer(dialogue: Option<&Shared>, is_sent: bool) -> bool {
    is_sent && dialogue.is_some_and(|dialogue| dialogue.borrow().awaits_answer())
}

/// What has become of whoever reads what is received, and of what is waited for there. `is_written` says that
/// all that was received has been written, `owes`, asked when it matters, whether something has yet to reach
/// the peer; it is told whether the dialogue speaks.
pub(crate) fn reader(
    dialogue: Option<&Shared>,
    reader: Reader,
    is_written: bool,
    owes: impl FnOnce(bool) -> bool,
) -> Reader {
    let Some(dialogue) = dialogue else { return reader };
    if reader == Reader::Gone {
        dialogue.borrow_mut().abandon();
    }
    let dialogue = dialogue.borrow();
    match dialogue.prospect() {
        Prospect::Met if is_written && !owes(dialogue.speaks()) => Reader::Satisfied,
        Prospect::Hopeless if is_written => Reader::Satisfied,
        _ => reader,
    }
}

/// A source that a dialogue, if there is one, listens to.
pub(crate) struct Heard<'a, S> {
    /// Where what is received comes from.
    pub source: &'a mut S,
    /// Who listens.
    pub dialogue: Option<&'a Shared>,
}

impl<S: Source> Source for Heard<'_, S> {
    fn fill(&mut self, batch: &mut Batch) -> Result<Progress> {
        let result = self.source.fill(batch);
        if let Some(dialogue) = self.dialogue {
            let mut dialogue = dialogue.borrow_mut();
            // The batch was empty before: a pump reads only when it has delivered everything.
            for (frame, bytes) in batch.frames() {
                frame.messages(bytes).for_each(|message| dialogue.hear(message));
            }
            if matches!(result, Ok(Progress::End)) {
                dialogue.peer_ended();
            }
        }
        result
    }

    fn widen(&mut self) {
        self.source.widen();
    }

    fn splice_end(&self) -> Option<SpliceEnd<'_>> {
        // What is spliced nobody sees.
        let listens = self.dialogue.is_some_and(|dialogue| dialogue.borrow().is_waiting());
        if listens { None } else { self.source.splice_end() }
    }

    fn moved(&mut self, bytes: usize) {
        self.source.moved(bytes);
    }

    fn splice_failed(&mut self, cause: &std::io::Error) -> Error {
        self.source.splice_failed(cause)
    }
}

#[cfg(test)]
mod tests;
