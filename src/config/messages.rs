//! What the words of the command line say about messages: their format, those given there, and what is
//! waited for.

use crate::cli::{self, DialogueArgs, MessageArg, MessageArgs};
use crate::engine::expect::{Expected, Pattern};
use crate::engine::flow::Cuts;
use crate::engine::framing::{self, Crlf, ESCAPES, Format};
use crate::error::{Error, Result};

/// How texts of the command line become bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Texts {
    /// Whether LF becomes CRLF on sending (`--crlf`).
    pub crlf: bool,
    /// Whether a backslash begins an escape (`--escapes`).
    pub escapes: bool,
}

impl Texts {
    /// As these options say.
    pub(super) fn new(crlf: bool, dialogue: &DialogueArgs) -> Self {
        Self { crlf, escapes: dialogue.escapes }
    }

    /// The bytes of a text that is sent, the value of `option`, after those that `crlf` has seen.
    pub(super) fn sent(self, option: &str, text: &str, crlf: &mut Crlf) -> Result<Vec<u8>> {
        let bytes = self.bytes(option, text)?;
        if !self.crlf {
            return Ok(bytes);
        }
        let mut converted = Vec::new();
        crlf.convert(&bytes, &mut converted);
        Ok(converted)
    }

    /// The bytes of a text, the value of `option`.
    fn bytes(self, option: &str, text: &str) -> Result<Vec<u8>> {
        if !self.escapes {
            return Ok(text.as_bytes().to_owned());
        }
        framing::unescape(text)
            .map_err(|escape| Error::usage(option, format!("{escape} is no escape")).hint(ESCAPES))
    }
}

impl MessageArgs {
    /// Whether there are messages to be sent, so that standard input is not.
    pub(super) fn has_messages(&self) -> bool {
        self.0.iter().any(|word| matches!(word, MessageArg::Text(_) | MessageArg::Hex(_)))
    }

    /// The messages of the command line, in its order; `None` when there are none. With
    /// [`Cuts::Anywhere`] they are one stream, in which a CRLF may begin in one and end in the next.
    pub(super) fn messages(&self, texts: Texts, cuts: Cuts) -> Result<Option<Vec<Vec<u8>>>> {
        let mut crlf = Crlf::default();
        let messages = self.0.iter().filter_map(|word| {
            if cuts == Cuts::BetweenMessages {
                crlf = Crlf::default();
            }
            word.message(texts, &mut crlf).transpose()
        });
        let messages: Vec<_> = messages.collect::<Result<_>>()?;
        Ok(if messages.is_empty() { None } else { Some(messages) })
    }

    /// What is waited for, in the order of the command line.
    pub(super) fn expected(&self, texts: Texts) -> Result<Vec<Expected>> {
        let (mut after, mut all) = (0, Vec::new());
        for word in &self.0 {
            match word.pattern(texts)? {
                Some(pattern) => all.push(Expected { pattern, after }),
                None => after += 1,
            }
        }
        Ok(all)
    }
}

impl MessageArg {
    /// The bytes of a message; `None` for what is waited for.
    fn message(&self, texts: Texts, crlf: &mut Crlf) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Text(text) => texts.sent("--send", text, crlf).map(Some),
            Self::Hex(digits) => {
                let bytes = hex("--send-hex", digits)?;
                crlf.pass(&bytes);
                Ok(Some(bytes))
            }
            Self::Expect(_) | Self::ExpectHex(_) | Self::ExpectRe(_) => Ok(None),
        }
    }

    /// What is waited for; `None` for a message.
    fn pattern(&self, texts: Texts) -> Result<Option<Pattern>> {
        let (option, pattern) = match self {
            Self::Text(_) | Self::Hex(_) => return Ok(None),
            Self::Expect(text) => ("--expect", Pattern::literal(&texts.bytes("--expect", text)?)),
            Self::ExpectHex(digits) => {
                ("--expect-hex", Pattern::literal(&hex("--expect-hex", digits)?))
            }
            Self::ExpectRe(text) => ("--expect-re", Pattern::regex(text)),
        };
        pattern.map(Some).map_err(|why| Error::usage(option, why))
    }
}

/// The bytes that hex digits stand for, the value of `option`.
pub(super) fn hex(option: &str, digits: &str) -> Result<Vec<u8>> {
    framing::parse_hex(digits, framing::LONGEST_MESSAGE)
        .map_err(|malformed| Error::usage(option, malformed.to_string()))
}

/// The format for a value of `-I` or `-O`.
pub(super) fn format(word: cli::FormatArg) -> Format {
    match word {
        cli::FormatArg::Raw => Format::Raw,
        cli::FormatArg::Lines => Format::Lines,
        cli::FormatArg::Hex => Format::Hex,
        cli::FormatArg::Frames => Format::Frames,
    }
}
