//! What the systems do differently, by the same names: those of the one that this is compiled for.

#[cfg(not(target_os = "linux"))]
pub(super) use super::bsd::*;
#[cfg(not(target_os = "linux"))]
pub(crate) use super::bsd::{PrivateNetwork, congestion_control, set_congestion_control};
#[cfg(target_os = "linux")]
pub(super) use super::linux::*;
#[cfg(target_os = "linux")]
pub(crate) use super::linux::{PrivateNetwork, congestion_control, set_congestion_control};
