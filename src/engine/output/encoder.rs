//! How what arrives is written down: cut into messages again, behind a tag, in the format asked for.

use crate::engine::batch::Frame;
use crate::engine::framing::{self, Assembler, Format, Malformed};
use crate::engine::output::wanted::Wanted;
use crate::error::{Error, Result, Status};
use crate::net::address::Address;
use crate::observe::stamps::Stamps;

/// What stands before a message.
#[derive(Debug)]
enum Tag {
    Nothing,
    /// Who sent this datagram.
    Sender,
    /// The one peer that everything comes from.
    Peer(String),
}

/// How a message is written down.
#[derive(Debug, Clone, Copy)]
struct Form {
    format: Format,
    stamps: Stamps,
}

/// Turns what arrives into what is written. It knows nothing of where that goes.
#[derive(Debug)]
pub(super) struct Encoder {
    form: Form,
    tag: Tag,
    /// Cuts a byte stream into messages again; datagrams need no cutting.
    assembler: Option<Assembler>,
    /// Whom the bytes come from, for errors.
    peer: String,
    /// What came that is no message: nobody can tell where behind it the next one begins.
    failure: Option<Error>,
}

impl Encoder {
    /// An encoder to this format; `stream` says that bytes come from a byte stream and have to be
    /// cut into messages.
    pub(super) fn new(format: Format, stream: bool) -> Self {
        let cuts = stream && matches!(format, Format::Lines | Format::Frames);
        Self {
            form: Form { format, stamps: Stamps::None },
            tag: Tag::Nothing,
            assembler: cuts.then(|| Assembler::new(format, framing::LONGEST_MESSAGE)),
            peer: String::new(),
            failure: None,
        }
    }

    /// Every datagram stands behind a tag that says who sent it.
    pub(super) fn tag_senders(&mut self) {
        self.tag = Tag::Sender;
    }

    /// Every message stands behind a tag that names this peer.
    pub(super) fn tag_peer(&mut self, peer: &Address) {
        self.tag = Tag::Peer(format!("{peer} "));
    }

    /// Every line begins with the wall-clock time, or does not; raw bytes and frames have no lines.
    pub(super) fn stamp(&mut self, stamps: Stamps) {
        self.form.stamps = stamps;
    }

    /// Everything comes from this peer.
    pub(super) fn of_peer(&mut self, peer: String) {
        self.peer = peer;
    }

    /// Messages come cut already.
    pub(super) fn of_whole_messages(&mut self) {
        self.assembler = None;
    }

    /// Whether bytes are written as they come.
    pub(super) fn is_raw(&self) -> bool {
        self.form.format == Format::Raw
    }

    /// Writes down a whole message behind this tag, if it is wanted.
    pub(super) fn message(
        &self,
        tag: &str,
        message: &[u8],
        wanted: &mut Wanted,
        into: &mut Vec<u8>,
    ) {
        self.form.write_down(tag, message, wanted, into);
    }

    /// Writes down what a frame holds, as far as it is wanted.
    ///
    /// # Errors
    /// At what is no message, and from then on. The messages before it are written down.
    pub(super) fn frame(
        &mut self,
        frame: &Frame,
        bytes: &[u8],
        wanted: &mut Wanted,
        into: &mut Vec<u8>,
    ) -> Result<()> {
        let sender = match (&self.tag, &frame.from) {
            (Tag::Sender, Some(from)) => Some(format!("{} ", from.peer)),
            _ => None,
        };
        for message in frame.messages(bytes) {
            match &sender {
                Some(tag) => self.message(tag, message, wanted, into),
                None => self.take(message, wanted, into)?,
            }
        }
        Ok(())
    }

    /// No more will come: completes what was left open, such as a last line.
    ///
    /// # Errors
    /// When that is no message.
    pub(super) fn finish(&mut self, wanted: &mut Wanted, into: &mut Vec<u8>) -> Result<()> {
        self.check()?;
        let Self { form, tag, assembler, peer, .. } = self;
        let Some(assembler) = assembler else {
            return Ok(());
        };
        assembler
            .finish(|message| form.write_down(tag.fixed(), message, wanted, into))
            .map_err(|malformed| failed(Status::Broken, peer, &malformed))
    }

    fn take(&mut self, bytes: &[u8], wanted: &mut Wanted, into: &mut Vec<u8>) -> Result<()> {
        self.check()?;
        let Self { form, tag, assembler, peer, failure } = self;
        let mut message = |message: &[u8]| form.write_down(tag.fixed(), message, wanted, into);
        match assembler {
            None => message(bytes),
            Some(assembler) => assembler.feed(bytes, message).map_err(|malformed| {
                let error = failed(Status::Failure, peer, &malformed);
                failure.insert(error.hint("-O raw takes any bytes")).clone()
            })?,
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        self.failure.clone().map_or(Ok(()), Err)
    }
}

impl Tag {
    /// The same for all messages.
    fn fixed(&self) -> &str {
        match self {
            Self::Peer(tag) => tag,
            Self::Nothing | Self::Sender => "",
        }
    }
}

fn failed(status: Status, peer: &str, malformed: &Malformed) -> Error {
    Error::new(status, "receive", peer, malformed.to_string())
}

impl Form {
    fn write_down(self, tag: &str, message: &[u8], wanted: &mut Wanted, into: &mut Vec<u8>) {
        if !wanted.take() {
            return;
        }
        let Self { format, stamps } = self;
        if stamps == Stamps::None || matches!(format, Format::Raw | Format::Frames) {
            into.extend_from_slice(tag.as_bytes());
            framing::encode(format, message, into);
            return;
        }
        // A datagram may hold several lines.
        let mut lines = tag.as_bytes().to_vec();
        framing::encode(format, message, &mut lines);
        stamps.begin_each(&lines, into);
    }
}
