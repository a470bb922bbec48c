//! Addresses, access lists, and sockets with the options they are opened with.

pub mod access;
pub mod address;
pub mod local;
pub mod options;
pub mod socket;
