//! Turns the arguments of the command line into typed settings and checks them against each other.

mod common;
pub mod compare;
mod connect;
mod distinct;
mod listen;
mod messages;
mod place;
mod scan;
mod seen;

pub use common::{Common, Reception, Stdin};
pub use connect::Connect;
pub use listen::{Listen, Task};
pub use place::Place;
pub use scan::Scan;
pub use seen::{BarSetting, PayloadOutput, Seen, Told, Unchanged};
