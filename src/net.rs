//! Addresses, access lists, and sockets with the options they are opened with.

pub mod access;
pub mod address;
pub(crate) mod congestion;
pub(crate) mod keepalive;
pub(crate) mod local;
pub(crate) mod options;
pub mod services;
pub(crate) mod socket;
