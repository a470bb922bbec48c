//! The words for a dialogue: what is waited for in what is received, and escapes.

use clap::{ArgAction, Args};

/// What is waited for, and how texts are written.
#[derive(Debug, Args)]
pub struct DialogueArgs {
    /// Wait for TEXT in what is received, in the order of the words with --send; status 10 if it does not come. May repeat
    #[arg(long, value_name = "TEXT", action = ArgAction::Append, allow_hyphen_values = true, conflicts_with = "send_only", help_heading = "Messages")]
    pub expect: Vec<String>,

    /// The same with these bytes
    #[arg(long, value_name = "HEX", action = ArgAction::Append, conflicts_with = "send_only", help_heading = "Messages")]
    pub expect_hex: Vec<String>,

    /// The same with a regular expression (regex crate; (?i) is ASCII), met as soon as it matches
    #[arg(long, value_name = "RE", action = ArgAction::Append, allow_hyphen_values = true, conflicts_with = "send_only", help_heading = "Messages")]
    pub expect_re: Vec<String>,

    /// In --send, --reply and --expect, \r \n \t \0 \\ and \xHH stand for bytes
    #[arg(long, help_heading = "Messages")]
    pub escapes: bool,
}

impl DialogueArgs {
    /// The first option given that something is waited for by.
    #[must_use]
    pub fn waits_by(&self) -> Option<&'static str> {
        let options = [
            ("--expect", &self.expect),
            ("--expect-hex", &self.expect_hex),
            ("--expect-re", &self.expect_re),
        ];
        options.into_iter().find(|(_, given)| !given.is_empty()).map(|(option, _)| option)
    }
}
