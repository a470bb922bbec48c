//! What a listener does with its clients: pass on, answer by itself, or let them talk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

/// What happens to the data of a client.
#[derive(Debug)]
pub(crate) enum Role {
    /// It goes to standard output; standard input goes to every client.
    Relay,
    /// It goes back (RFC 862).
    Echo,
    /// It goes nowhere (RFC 863).
    Discard,
    /// It goes nowhere, and characters come back without end (RFC 864).
    Chargen(Rc<[u8]>),
    /// It goes to standard output, and the first of it is answered with this.
    Reply(Reply),
    /// It goes to standard output and to all other clients; so does standard input.
    Chat,
}

/// A ready-made answer.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Bytes of the command line.
    Bytes(Rc<[u8]>),
    /// A file, read anew for every client, each at its own pace.
    File(Rc<File>),
}

/// Bytes of a reply file read at a time.
const PIECE: usize = 64 * 1024;

impl Reply {
    /// The bytes of the answer from `offset` on; empty at its end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn piece(&self, offset: u64) -> io::Result<Rc<[u8]>> {
        match self {
            Self::Bytes(bytes) if offset == 0 => Ok(Rc::clone(bytes)),
            Self::Bytes(_) => Ok(Rc::from([])),
            Self::File(file) => {
                let mut piece = vec![0; PIECE];
                let n = file.read_at(&mut piece, offset)?;
                piece.truncate(n);
                Ok(piece.into())
            }
        }
    }
}

/// Length of one line of characters, without its CRLF (RFC 864).
const LINE: usize = 72;

/// How often the lines are repeated in one piece.
const ROUNDS: usize = 8;

/// The 95 printable characters of ASCII, from the space on.
const PRINTABLE: usize = 95;

/// All lines of the character generator, several times over: large pieces are sent faster.
#[must_use]
pub(crate) fn characters() -> Rc<[u8]> {
    let mut all = Vec::with_capacity(ROUNDS * PRINTABLE * (LINE + 2));
    for start in 0..ROUNDS * PRINTABLE {
        // Below 95, so it is a byte, and 32 more is still ASCII.
        all.extend((0..LINE).map(|i| b' ' + ((start + i) % PRINTABLE) as u8));
        all.extend_from_slice(b"\r\n");
    }
    all.into()
}

impl Role {
    /// Whether what clients send is written to standard output.
    #[must_use]
    pub(crate) fn writes_output(&self) -> bool {
        matches!(self, Self::Relay | Self::Reply(_) | Self::Chat)
    }

    /// Whether standard input is sent to the clients.
    #[must_use]
    pub(crate) fn sends_input(&self) -> bool {
        matches!(self, Self::Relay | Self::Chat)
    }

    /// Whether a client that resets its connection is nothing to talk about: for the services of
    /// RFC 862 to 864 it is a usual way to leave.
    #[must_use]
    pub(crate) fn is_service(&self) -> bool {
        matches!(self, Self::Echo | Self::Discard | Self::Chargen(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_lines_of_72_that_shift_by_one() {
        let all = characters();
        let lines: Vec<&[u8]> = all.split(|b| *b == b'\n').collect();
        assert_eq!(lines.len(), ROUNDS * PRINTABLE + 1);
        assert!(lines[..PRINTABLE].iter().all(|line| line.len() == LINE + 1));
        assert!(lines[0].starts_with(b" !\"#"));
        assert!(lines[1].starts_with(b"!\"#$"));
        assert_eq!(lines[0], lines[PRINTABLE]);
    }
}
