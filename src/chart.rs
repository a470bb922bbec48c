//! How long replies took, counted in bounded memory and drawn: for screens of 80 columns, and as SVG.
//!
//! - [`round_trips`] how often each time came; [`timeline`] which message took how long, or was lost
//! - [`series`] both of one protocol: what is drawn, one or two of them in one picture
//! - [`histogram`], [`course`] for the screen; [`svg`] both for a page; [`scale`] their axes
//! - [`text`] numbers and sentences as people read them
//!
//! It knows neither sockets nor protocols.

pub(crate) mod course;
pub(crate) mod histogram;
pub(crate) mod round_trips;
mod scale;
pub(crate) mod series;
pub(crate) mod svg;
pub(crate) mod text;
pub(crate) mod timeline;
