//! What the systems do differently, by the same names: those of the one that this is compiled for.

#[cfg(not(target_os = "linux"))]
pub(crate) use super::bsd::PrivateNetwork;
#[cfg(not(target_os = "linux"))]
pub(super) use super::bsd::*;
#[cfg(target_os = "linux")]
pub(crate) use super::linux::PrivateNetwork;
#[cfg(target_os = "linux")]
pub(super) use super::linux::*;
