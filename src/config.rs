//! Turns the arguments of the command line into typed settings and checks them against each other.

mod access;
mod common;
pub mod compare;
mod connect;
mod distinct;
mod forward;
pub mod impair;
mod listen;
mod messages;
mod network;
mod ping;
mod place;
mod proxy;
mod rules;
mod scan;
mod seen;
mod tls;

pub(crate) use common::{Common, Reception, Stdin};
pub(crate) use connect::Connect;
pub(crate) use forward::Forward;
pub(crate) use listen::{Listen, Task};
pub(crate) use ping::Ping;
pub(crate) use place::Place;
pub(crate) use scan::Scan;
pub(crate) use seen::{BarSetting, PayloadOutput, Seen, Told};
pub(crate) use tls::{Tls, TlsClient, TlsListener, Trust, secrets_of_environment};
