//! The program: what the arguments ask for, and the exit status.

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use ai_api_proxy::arguments::{self, Command};
use ai_api_proxy::server::Stopped;
use ai_api_proxy::start;

fn main() -> ExitCode {
    let command = match arguments::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(message) => return complain(&message, ExitCode::from(2)),
    };
    let outcome = match command {
        Command::Help => print(arguments::HELP),
        Command::Version => print(concat!("ai-api-proxy ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Check { dir } => start::check(&dir).and_then(|text| print(&text)),
        Command::Run { dir } => start::run(&dir).map(|stopped| match stopped {
            Stopped::Drained => ExitCode::SUCCESS,
            Stopped::CutShort => ExitCode::FAILURE,
        }),
    };
    outcome.unwrap_or_else(|message| complain(&message, ExitCode::FAILURE))
}

fn print(text: &str) -> Result<ExitCode, String> {
    let written = stdout().write_all(text.as_bytes());
    written
        .map(|()| ExitCode::SUCCESS)
        .map_err(|error| format!("standard output cannot be written: {error}"))
}

fn complain(message: &str, status: ExitCode) -> ExitCode {
    // If standard error is closed, the exit status suffices.
    let _ = writeln!(stderr(), "ai-api-proxy: {message}");
    status
}
