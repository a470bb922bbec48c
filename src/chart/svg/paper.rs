//! Measures that the parts of the picture have in common, in pixels.

/// Of the whole picture.
pub(super) const WIDTH: usize = 760;
/// Around it.
pub(super) const MARGIN: usize = 16;
/// Where the drawings begin; their labels stand to the left.
pub(super) const LEFT: usize = 104;
/// Where they end.
pub(super) const RIGHT: usize = WIDTH - MARGIN - 24;

/// The style of each series' areas; its lines have `l`, its losses `x` before that.
pub(super) const CLASSES: [&str; 2] = ["a", "b"];
