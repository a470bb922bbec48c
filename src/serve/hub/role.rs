//! The role of a listener towards its clients: relay, answer by itself, or let them chat.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

/// What a listener does with the data of a client, and what it sends to it.
#[derive(Debug)]
pub(crate) enum Role {
    /// Received data goes to standard output; standard input is sent to every client.
    Relay,
    /// Received data is sent back (RFC 862).
    Echo,
    /// Received data is discarded (RFC 863).
    Discard,
    /// Received data is discarded, and these characters are sent again and again (RFC 864).
    Chargen(Rc<[u8]>),
    /// Received data goes to standard output, and the first of it is answered with this.
    Reply(Reply),
    /// Received data goes to standard output and to all other clients; standard input is sent to every
    /// client.
    Chat,
}

/// An answer that is the same for every client.
#[derive(Debug)]
pub(crate) enum Reply {
    /// These bytes.
    Bytes(Rc<[u8]>),
    /// The content of a regular file, which is read for each client as fast as that client takes it.
    File(Rc<File>),
}

/// Bytes read from a reply file in one call.
const PIECE: usize = 64 * 1024;

impl Reply {
    /// The next piece of the answer, from byte `offset` on; empty at its end. For [`Reply::Bytes`] all of
    /// it is one piece.
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

/// The length of a line, without its CRLF (RFC 864).
const LINE: usize = 72;

/// How often the pattern, which begins anew after as many lines as there are characters, is repeated in
/// one piece.
const ROUNDS: usize = 8;

/// The number of printable ASCII characters, from the space on.
const PRINTABLE: usize = 95;

/// The pattern of the character generator, repeated, because larger pieces are sent faster.
#[must_use]
pub(crate) fn characters() -> Rc<[u8]> {
    let mut all = Vec::with_capacity(ROUNDS * PRINTABLE * (LINE + 2));
    for start in 0..ROUNDS * PRINTABLE {
        // The remainder is below 95, so that the sum is an ASCII character.
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

    /// Whether this is one of the services of RFC 862 to 864, for which a client that resets its connection
    /// is usual and no error.
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
