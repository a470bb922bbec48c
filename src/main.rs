//! The program: runs the command line and turns the result into an exit status.

use std::io::Write as _;
use std::process::ExitCode;

use pktcat::error::Status;

fn main() -> ExitCode {
    let Err(error) = pktcat::cmd::run(std::env::args_os()) else {
        return ExitCode::SUCCESS;
    };
    if let Status::Stopped(signal) = error.status {
        // The process ends by the signal itself, so that a shell sees it as killed by that signal.
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    } else if !error.is_told() {
        // A failure to write the message must not change the exit status.
        let _ = writeln!(std::io::stderr(), "pktcat: {error}");
    }
    ExitCode::from(error.status.code())
}
