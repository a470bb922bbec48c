//! Names of places on a network, and sockets with the options they are opened with.

pub mod access;
pub mod address;
pub mod local;
pub mod options;
pub mod socket;
