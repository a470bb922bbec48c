//! Listeners with many clients: the hub, which serves them itself, and programs that are started for them.

pub(crate) mod children;
pub(crate) mod hub;
