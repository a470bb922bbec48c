//! The format of messages, and the messages that are given on the command line.

use crate::cli::{self, MessageArgs};
use crate::engine::framing::{self, Crlf, Format};
use crate::error::{Error, Result};

impl MessageArgs {
    /// The messages given on the command line, in its order; `None` when there are none.
    pub(super) fn messages(&self, crlf: bool) -> Result<Option<Vec<Vec<u8>>>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        self.0.iter().map(|payload| payload.message(crlf)).collect::<Result<_>>().map(Some)
    }
}

impl cli::MessageArg {
    pub(super) fn message(&self, crlf: bool) -> Result<Vec<u8>> {
        match self {
            Self::Text(text) if crlf => {
                let mut converted = Vec::new();
                Crlf::default().convert(text.as_bytes(), &mut converted);
                Ok(converted)
            }
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Hex(digits) => framing::parse_hex(digits, framing::LONGEST_MESSAGE)
                .map_err(|malformed| Error::usage("--send-hex", malformed.to_string())),
        }
    }
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
