//! A terminal in memory, on which a progress bar is drawn.
//!
//! The bar's library writes to a terminal by itself, and would wait for one that is stopped (Ctrl-S). So it draws here,
//! and its drawings go through the journal of standard error like all other text.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::TermLike;

use crate::sys;

/// Returns to the start of the line and clears it (ECMA-48: CR, EL).
pub(crate) const CLEAR_LINE: &str = "\r\x1b[2K";

/// As wide as the terminal behind standard error is at the moment, or 80 columns.
// indicatif requires `Send`, although there is only one thread.
#[derive(Clone, Default)]
pub(crate) struct Paper(Arc<Mutex<String>>);

impl fmt::Debug for Paper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Paper")
    }
}

impl Paper {
    /// What was drawn since this was called last.
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }

    fn move_cursor(&self, n: usize, direction: char) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.add(&format!("\x1b[{n}{direction}")) }
    }
}

impl TermLike for Paper {
    fn width(&self) -> u16 {
        sys::terminal_width(io::stderr()).unwrap_or(80)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'D')
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.add(line)?;
        self.add("\r\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add(CLEAR_LINE)
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
