//! The messages to send: generated ones, which contain their number and time, or the user's own.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::compare::measure::account::At;
use crate::engine::framing::{Assembler, Format, Malformed};
use crate::error::{Error, Result, Status};

/// Bytes at the start of a generated message: its number and the time it was sent, eight bytes each,
/// big-endian. The time is in nanoseconds since the start of the run.
pub(crate) const HEADER: usize = 16;

/// The rest of a generated message is a part of one random sequence. It begins at another offset in
/// each of this many successive messages, so that a message can be told from its neighbours.
const SHIFTS: usize = 251;

/// The most bytes of the user's messages that are kept in memory, if they come from a pipe or the like,
/// which cannot be read twice.
const MOST_KEPT: u64 = 64 << 20;

/// Generates messages of one size, and compares replies with them.
#[derive(Debug, Clone)]
pub(crate) struct Generator {
    size: usize,
    noise: Rc<[u8]>,
}

impl Generator {
    /// A generator of messages of `size` bytes, at least [`HEADER`].
    #[must_use]
    pub(crate) fn new(size: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(0x706b_7463_6174);
        let noise = (0..size + SHIFTS).map(|_| random.u8(..)).collect();
        Self { size: size.max(HEADER), noise }
    }

    fn filler(&self, number: u64) -> &[u8] {
        // The remainder is below SHIFTS.
        let start = (number % SHIFTS as u64) as usize;
        &self.noise[start..start + self.size - HEADER]
    }

    /// Writes the message of this number, sent at this time.
    pub(crate) fn write(&self, number: u64, at: At, message: &mut Vec<u8>) {
        message.clear();
        message.extend_from_slice(&number.to_be_bytes());
        message.extend_from_slice(&nanos(at).to_be_bytes());
        message.extend_from_slice(self.filler(number));
    }

    /// Whether message `number` begins with these bytes, of which there are number and time at least; they
    /// are not looked at.
    #[must_use]
    pub(crate) fn begins(&self, number: u64, bytes: &[u8]) -> bool {
        bytes.get(HEADER..).is_some_and(|rest| self.filler(number).starts_with(rest))
    }

    /// Bytes of each message.
    #[must_use]
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The number and the time in a reply; `None` when it is too short for them.
    #[must_use]
    pub(crate) fn read(&self, reply: &[u8]) -> Option<(u64, At)> {
        let (number, rest) = reply.split_first_chunk::<8>()?;
        let (time, _) = rest.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*number), At::from_nanos(u64::from_be_bytes(*time))))
    }

    /// How many of the bytes after number and time are equal in the reply and in message `number`, and
    /// how many there are in the longer of the two.
    #[must_use]
    pub(crate) fn likeness(&self, number: u64, reply: &[u8]) -> (usize, usize) {
        let filler = self.filler(number);
        let rest = reply.get(HEADER..).unwrap_or_default();
        if rest == filler {
            return (filler.len(), filler.len());
        }
        (rest.iter().zip(filler).filter(|(a, b)| a == b).count(), filler.len().max(rest.len()))
    }
}

fn nanos(at: At) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}

/// The user's own messages, read from a file. They can be read any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    path: PathBuf,
    /// The content, if the file is one that can be read only once.
    kept: Option<Rc<[u8]>>,
    format: Format,
    /// Bytes of each message when the format is raw.
    size: usize,
    /// The most bytes that a message may have.
    limit: usize,
    /// The most messages that are read.
    count: u64,
}

/// What reading through all messages has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Survey {
    /// The number of messages.
    pub count: u64,
    /// Bytes of the longest message.
    pub longest: usize,
    /// Bytes of all messages together.
    pub bytes: u64,
    /// The number of messages without any bytes.
    pub empty: u64,
}

impl Given {
    /// The messages in a file. What is no regular file is read to its end here.
    ///
    /// # Errors
    /// When it cannot be read, or is no regular file and too long to be kept in memory.
    pub(crate) fn open(
        path: &Path,
        format: Format,
        size: usize,
        limit: usize,
        count: u64,
    ) -> Result<Self> {
        let failed = |cause: io::Error| Error::local("read", path.display(), &cause);
        let file = File::open(path).map_err(failed)?;
        let mut kept = None;
        if !file.metadata().map_err(failed)?.is_file() {
            let mut bytes = Vec::new();
            file.take(MOST_KEPT + 1).read_to_end(&mut bytes).map_err(failed)?;
            if bytes.len() as u64 > MOST_KEPT {
                let why = "is no regular file and too long to be kept in memory";
                return Err(Error::new(Status::LocalIo, "read", path.display().to_string(), why));
            }
            kept = Some(bytes.into());
        }
        Ok(Self { path: path.to_owned(), kept, format, size: size.max(1), limit, count })
    }

    /// Reads through all messages, so that a malformed one is found before any is sent.
    ///
    /// # Errors
    /// When the file cannot be read, contains a malformed message, or contains none.
    pub(crate) fn survey(&self) -> Result<Survey> {
        let mut reader = self.read()?;
        let mut survey = Survey::default();
        while let Some(message) = reader.next()? {
            survey.count += 1;
            survey.bytes += message.len() as u64;
            survey.longest = survey.longest.max(message.len());
            survey.empty += u64::from(message.is_empty());
        }
        if survey.count == 0 {
            return Err(self.error("holds no message"));
        }
        Ok(survey)
    }

    /// A reader that begins with the first message.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn read(&self) -> Result<MessageReader> {
        let from: Box<dyn Read> = match &self.kept {
            Some(bytes) => Box::new(Cursor::new(Rc::clone(bytes))),
            None => Box::new(
                File::open(&self.path)
                    .map_err(|cause| Error::local("read", self.path.display(), &cause))?,
            ),
        };
        Ok(MessageReader {
            given: self.clone(),
            from,
            assembler: Assembler::new(self.format, self.limit),
            chunk: vec![0; if self.format == Format::Raw { self.size } else { 32 * 1024 }],
            ready: VecDeque::new(),
            left: self.count,
            ended: false,
        })
    }

    fn error(&self, why: impl Into<String>) -> Error {
        Error::new(Status::LocalIo, "read", self.path.display().to_string(), why)
    }
}

/// One message after the other out of a file.
pub(crate) struct MessageReader {
    given: Given,
    from: Box<dyn Read>,
    assembler: Assembler,
    chunk: Vec<u8>,
    ready: VecDeque<Vec<u8>>,
    left: u64,
    ended: bool,
}

impl MessageReader {
    /// The next message; `None` when there are no more.
    ///
    /// # Errors
    /// When the file cannot be read or contains a malformed message.
    #[allow(clippy::should_implement_trait)]
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.left == 0 {
            return Ok(None);
        }
        while self.ready.is_empty() && !self.ended {
            self.fill()?;
        }
        self.left -= 1;
        Ok(self.ready.pop_front())
    }

    fn fill(&mut self) -> Result<()> {
        let mut filled = 0;
        // Raw messages have a fixed size: one read(2) may return less, so reading goes on until the
        // message is complete.
        while filled < self.chunk.len() {
            match self.from.read(&mut self.chunk[filled..]) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(n) => filled += n,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(self.given.error(cause.to_string())),
            }
        }
        let ready = &mut self.ready;
        let mut keep = |message: &[u8]| ready.push_back(message.to_vec());
        let mut result = self.assembler.feed(&self.chunk[..filled], &mut keep);
        if self.ended && result.is_ok() {
            result = self.assembler.finish(&mut keep);
        }
        result.map_err(|what: Malformed| self.given.error(what.to_string()))
    }
}

/// The messages of one run.
pub(crate) enum Messages {
    /// Generated messages.
    Generated(Generator),
    /// The user's own.
    Given(Box<MessageReader>),
}

impl Messages {
    /// Writes the next message, which has this number and is sent at this time, to `message`; `false`
    /// when there is none.
    ///
    /// # Errors
    /// When the user's file cannot be read or contains a malformed message.
    pub(crate) fn next(&mut self, number: u64, at: At, message: &mut Vec<u8>) -> Result<bool> {
        match self {
            Self::Generated(generator) => {
                generator.write(number, at, message);
                Ok(true)
            }
            Self::Given(reader) => match reader.next()? {
                Some(next) => {
                    *message = next;
                    Ok(true)
                }
                None => Ok(false),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn all(bytes: &[u8], format: Format, size: usize, count: u64) -> Result<Vec<Vec<u8>>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let given = Given::open(file.path(), format, size, 100, count)?;
        let survey = given.survey()?;
        let mut reader = given.read()?;
        let mut messages = Vec::new();
        while let Some(message) = reader.next()? {
            messages.push(message);
        }
        assert_eq!(survey.count, messages.len() as u64);
        assert_eq!(survey.longest, messages.iter().map(Vec::len).max().unwrap());
        Ok(messages)
    }

    #[test]
    fn a_generated_message_tells_its_number_and_time_and_resembles_no_other() {
        let generator = Generator::new(64);
        let mut message = Vec::new();
        let at = At::from_nanos(123_456_789);
        generator.write(7, at, &mut message);
        assert_eq!(message.len(), 64);
        assert_eq!(generator.read(&message), Some((7, at)));
        assert_eq!(generator.likeness(7, &message), (48, 48));
        for other in [6, 8, 100] {
            assert!(generator.likeness(other, &message).0 < 12, "{other}");
        }
        assert_eq!(generator.read(&message[..15]), None);
        generator.write(1, at, &mut message);
        assert_eq!(Generator::new(HEADER).likeness(1, &message[..HEADER]), (0, 0));
    }

    #[test]
    fn a_file_is_cut_by_its_format() {
        let lines = all(b"one\n\nthree", Format::Lines, 0, 9).unwrap();
        assert_eq!(lines, [&b"one"[..], b"", b"three"]);
        let raw = all(b"abcdefg", Format::Raw, 3, 9).unwrap();
        assert_eq!(raw, [&b"abc"[..], b"def", b"g"]);
        let frames = all(b"\0\0\0\x02hi\0\0\0\0", Format::Frames, 0, 9).unwrap();
        assert_eq!(frames, [&b"hi"[..], b""]);
        let hex = all(b"00 ff\n# none\n01", Format::Hex, 0, 9).unwrap();
        assert_eq!(hex, [&[0u8, 255][..], &[1]]);
        assert_eq!(all(b"a\nb\nc\n", Format::Lines, 0, 2).unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_message_is_an_error_that_names_file_and_place() {
        for (bytes, format, why) in [
            (&b""[..], Format::Lines, "holds no message"),
            (b"0g", Format::Hex, "line 1, column 2"),
            (&[b'x'; 101], Format::Lines, "longer than 100 bytes"),
        ] {
            let error = all(bytes, format, 1, 9).unwrap_err();
            assert_eq!(error.status, Status::LocalIo);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
