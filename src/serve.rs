//! Many clients of one listener: the hub with its roles, and programs that are run for clients.

pub(crate) mod children;
pub(crate) mod hub;
