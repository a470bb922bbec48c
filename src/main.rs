//! The program: run, and turn how it ended into an exit status. The only place that exits.

use std::io::Write as _;
use std::process::ExitCode;

use pktcat::error::Status;

fn main() -> ExitCode {
    let Err(error) = pktcat::cmd::run(std::env::args_os()) else {
        return ExitCode::SUCCESS;
    };
    if let Status::Stopped(signal) = error.status {
        // Ends the process by the signal itself, so that the shell knows what happened.
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    } else if !error.is_told() {
        // The exit status stays the same when standard error cannot be written to.
        let _ = writeln!(std::io::stderr(), "pktcat: {error}");
    }
    ExitCode::from(error.status.code())
}
