//! The command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

pub const HELP: &str = "\
ai-api-proxy: one address and one key for many AI platforms and their keys

Usage: ai-api-proxy [--dir DIR] [--check] [--version] [--help]

  --dir DIR   the folder of config.json, key.json, platform.json and .env (default: the current folder)
  --check     read the files, print every problem and warning, and exit: 0 if they are valid, 1 if not
  --version   print the version and exit
  --help      print this and exit
";

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Run { dir: PathBuf },
    Check { dir: PathBuf },
    Version,
    Help,
}

/// Reads the arguments, without the program's name.
///
/// # Errors
/// What is wrong with them, and what to write instead.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut arguments = arguments.into_iter();
    let mut dir = None;
    let mut check = false;
    while let Some(argument) = arguments.next() {
        match argument.as_bytes() {
            b"--help" | b"-h" => return Ok(Command::Help),
            b"--version" | b"-V" => return Ok(Command::Version),
            b"--check" => check = true,
            b"--dir" => {
                let value = arguments.next().ok_or("--dir needs a folder: --dir DIR")?;
                set_once(&mut dir, &value)?;
            }
            other => match other.strip_prefix(b"--dir=") {
                Some(value) => set_once(&mut dir, OsStr::from_bytes(value))?,
                None => return Err(format!("unknown argument {argument:?}; see --help")),
            },
        }
    }
    let dir = dir.unwrap_or_else(|| PathBuf::from("."));
    Ok(match check {
        true => Command::Check { dir },
        false => Command::Run { dir },
    })
}

fn set_once(dir: &mut Option<PathBuf>, value: &OsStr) -> Result<(), String> {
    match (value.is_empty(), dir.replace(PathBuf::from(value))) {
        (true, _) => Err("--dir needs a folder: --dir DIR".to_string()),
        (false, Some(_)) => Err("--dir is given twice; give it once".to_string()),
        (false, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let run = |dir: &str| Ok(Command::Run { dir: dir.into() });
        let check = |dir: &str| Ok(Command::Check { dir: dir.into() });
        let rows: &[(&[&str], Result<Command, &str>)] = &[
            (&[], run(".")),
            (&["--dir", "/etc/x"], run("/etc/x")),
            (&["--dir=/etc/x"], run("/etc/x")),
            (&["--check"], check(".")),
            (&["--check", "--dir", "x"], check("x")),
            (&["--version", "--nonsense"], Ok(Command::Version)),
            (&["-h"], Ok(Command::Help)),
            (&["--dir"], Err("--dir needs a folder: --dir DIR")),
            (&["--dir="], Err("--dir needs a folder: --dir DIR")),
            (
                &["--dir", "a", "--dir", "b"],
                Err("--dir is given twice; give it once"),
            ),
            (&["check"], Err("unknown argument \"check\"; see --help")),
        ];
        for (arguments, want) in rows {
            let got = parse(arguments.iter().map(OsString::from));
            assert_eq!(got, want.clone().map_err(str::to_string), "{arguments:?}");
        }
    }

    #[test]
    fn arguments_that_are_no_text() {
        let bytes = |bytes: &[u8]| OsStr::from_bytes(bytes).to_os_string();
        assert_eq!(
            parse([bytes(b"\xff")]),
            Err(r#"unknown argument "\xFF"; see --help"#.to_string())
        );
        let dir = PathBuf::from(bytes(b"/\xff"));
        assert_eq!(parse([bytes(b"--dir=/\xff")]), Ok(Command::Run { dir }));
    }
}
