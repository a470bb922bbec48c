//! What is drawn: the replies over one protocol.

use crate::chart::round_trips::RoundTrips;
use crate::chart::timeline::Timeline;

/// The replies over one protocol. Pictures have one or two of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Series<'a> {
    /// Its name, such as `TCP`.
    pub name: &'a str,
    /// How long replies took.
    pub trips: &'a RoundTrips,
    /// Which of them took how long.
    pub timeline: &'a Timeline,
}

/// What the pictures are of, in words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Captions<'a> {
    /// Above all.
    pub title: &'a str,
    /// What the histogram counts, such as `round trips, one at a time`.
    pub counted: &'a str,
    /// What has the numbers of the time line, such as `message`.
    pub numbered: &'a str,
}
