//! Variables: the process environment first, then `.env`.

use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::findings::Findings;
use crate::base::file;

pub const FILE: &str = ".env";

const TWICE: &str = "the variable is set further up, which counts; keep one of the two";
const BARE_REFERENCE: &str = "$ outside single quotes begins a variable's name, which ends before any _; write ${NAME} for a variable, or NAME='value' where a $ is in the value";

/// Where the values of variables come from.
pub struct Environment<'e> {
    process: &'e dyn Fn(&str) -> Option<String>,
    file: HashMap<String, String>,
    /// Whether all of `.env` was understood: only then is a variable that was not found known to be unset.
    pub is_whole: bool,
}

impl<'e> Environment<'e> {
    /// Reads `.env` in `dir`, as dotenvy reads it. Without the file there are only the process's variables.
    pub fn read(
        dir: &Path,
        process: &'e dyn Fn(&str) -> Option<String>,
        findings: &mut Findings,
    ) -> Environment<'e> {
        let mut file = HashMap::new();
        let problems_before = findings.problems.len();
        // To dotenvy, spaces after a value are an error if no line end follows them.
        let text = read_text(dir, findings) + "\n";
        // dotenvy skips a byte order mark only where it sets the process's own variables.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let read_to = Cell::new(0);
        let lines = Lines {
            text: text.as_bytes(),
            read_to: &read_to,
        };
        let (mut begin, mut line) = (0, 0);
        for pair in dotenvy::from_read_iter(lines) {
            let entry = &text[begin..read_to.get()];
            begin = read_to.get();
            line += entry.lines().count();
            match pair {
                Ok((name, value)) => {
                    let path = format!("line {line}");
                    if holds_bare_reference(entry) {
                        findings.warning(&path, BARE_REFERENCE.to_string());
                    }
                    match file.entry(name) {
                        Entry::Vacant(free) => drop(free.insert(value)),
                        // The first value counts, as in dotenvy.
                        Entry::Occupied(_) => findings.warning(&path, TWICE.to_string()),
                    }
                }
                Err(error) => {
                    let (path, problem) = describe(&error, line);
                    findings.problem(&path, problem);
                }
            }
        }
        Environment {
            process,
            file,
            is_whole: findings.problems.len() == problems_before,
        }
    }

    /// A variable's value, without surrounding whitespace; `None` if it is not set.
    pub fn value(&self, name: &str) -> Option<String> {
        let value = (self.process)(name).or_else(|| self.file.get(name).cloned());
        value.map(|value| value.trim().to_string())
    }

    /// Whether `.env` has a value for a variable that another one in the process environment hides.
    pub fn is_hidden(&self, name: &str) -> bool {
        let in_file = self.file.get(name).map(|value| value.trim());
        let in_file = in_file.filter(|value| !value.is_empty());
        let in_process = (self.process)(name);
        in_process.is_some_and(|value| in_file.is_some_and(|other| other != value.trim()))
    }
}

/// A variable of the process's own environment. What is not UTF-8 in it becomes U+FFFD, which no key may hold.
pub fn of_process(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

fn read_text(dir: &Path, findings: &mut Findings) -> String {
    let bytes = match file::read(&dir.join(FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return String::new(),
        Err(error) => {
            findings.unreadable("", &error, format!("cannot be read: {error}"));
            return String::new();
        }
    };
    String::from_utf8(bytes).unwrap_or_else(|_| {
        findings.problem("", "not UTF-8; save it as UTF-8".to_string());
        String::new()
    })
}

/// A text that is read a line at a time, so that a problem or a value is in what was read last.
struct Lines<'t> {
    text: &'t [u8],
    read_to: &'t Cell<usize>,
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.text[self.read_to.get()..];
        let line = rest.split_inclusive(|byte| *byte == b'\n').next();
        let length = line.unwrap_or_default().read(buffer)?;
        self.read_to.set(self.read_to.get() + length);
        Ok(length)
    }
}

/// Whether a `$` in an entry begins `$NAME` to dotenvy, which takes letters and digits for the name, but no `_`. Comments
/// may stand before and behind the entry.
fn holds_bare_reference(entry: &str) -> bool {
    let mut open_quote = None;
    let mut former = '\n';
    let mut letters = entry.chars().peekable();
    while let Some(letter) = letters.next() {
        match (open_quote, letter) {
            (Some(open), _) if letter == open => open_quote = None,
            (Some('\''), _) => {}
            (_, '\\') => drop(letters.next()),
            (_, '$') if letters.peek() != Some(&'{') => return true,
            (None, '\'' | '"') => open_quote = Some(letter),
            (None, '#') if former.is_whitespace() => {
                while letters.next_if(|letter| *letter != '\n').is_some() {}
            }
            (_, _) => {}
        }
        former = letter;
    }
    false
}

/// Where the error is and what it is, without the line itself, which may hold a key. What dotenvy calls the line is the
/// end of what it has read, up to line `last`.
fn describe(error: &dotenvy::Error, last: usize) -> (String, String) {
    let dotenvy::Error::LineParse(piece, _) = error else {
        return (String::new(), "cannot be read".to_string());
    };
    let line = (last + 1).saturating_sub(piece.lines().count());
    let path = format!("line {line}");
    let problem = "cannot be read; write NAME=value with letters, digits and _ in the name; NAME='value' where a blank, \", \\ or $ is in the value, and NAME=\"value\" where a ' is";
    (path, problem.to_string())
}
