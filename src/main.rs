//! The program: what the arguments ask for, and the exit status.

use std::process::ExitCode;

use ai_api_proxy::arguments::{self, Command};
use ai_api_proxy::server::Stopped;
use ai_api_proxy::start;

fn main() -> ExitCode {
    let command = match arguments::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(message) => {
            eprintln!("ai-api-proxy: {message}");
            return ExitCode::from(2);
        }
    };
    let outcome = match command {
        Command::Help => {
            print!("{}", arguments::HELP);
            Ok(ExitCode::SUCCESS)
        }
        Command::Version => {
            println!("ai-api-proxy {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { dir } => start::check(&dir).map(|()| ExitCode::SUCCESS),
        Command::Run { dir } => start::run(&dir).map(|stopped| match stopped {
            Stopped::Drained => ExitCode::SUCCESS,
            Stopped::CutShort => ExitCode::FAILURE,
        }),
    };
    outcome.unwrap_or_else(|message| {
        eprintln!("ai-api-proxy: {message}");
        ExitCode::FAILURE
    })
}
