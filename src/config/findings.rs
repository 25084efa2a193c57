//! Problems and warnings found in the files.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::base::file::is_out_of_descriptors;

/// One problem or warning; always a single line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub file: &'static str,
    /// Where in the file; empty for the file as a whole.
    pub path: String,
    /// What is wrong; what to write instead.
    pub text: String,
}

/// The findings of one file, or of all files together.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    pub file: &'static str,
    pub problems: Vec<Finding>,
    pub warnings: Vec<Finding>,
    /// Other files that the files name: certificates, whose content is part of the configuration.
    pub named_files: Vec<PathBuf>,
    /// A file could not be opened for want of a file descriptor, whatever the file holds.
    pub lacks_descriptors: bool,
}

impl Finding {
    pub fn new(file: &'static str, path: &str, text: &str) -> Finding {
        Finding {
            file,
            path: one_line(path),
            text: one_line(text),
        }
    }
}

impl Findings {
    pub fn of(file: &'static str) -> Findings {
        Findings {
            file,
            ..Findings::default()
        }
    }

    pub fn problem(&mut self, path: &str, text: String) {
        self.problems.push(Finding::new(self.file, path, &text));
    }

    pub fn warning(&mut self, path: &str, text: String) {
        self.warnings.push(Finding::new(self.file, path, &text));
    }

    /// Records that a file cannot be read; `text` says so.
    pub fn unreadable(&mut self, path: &str, error: &io::Error, text: String) {
        self.lacks_descriptors |= is_out_of_descriptors(error);
        self.problem(path, text);
    }

    /// Adds the findings of another file.
    pub fn append(&mut self, other: Findings) {
        self.problems.extend(other.problems);
        self.warnings.extend(other.warnings);
        self.named_files.extend(other.named_files);
        self.lacks_descriptors |= other.lacks_descriptors;
    }
}

/// Escapes control characters: a name of a field or file may hold anything, but a finding is one line.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_control() {
            true => line.extend(letter.escape_default()),
            false => line.push(letter),
        }
    }
    line
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.is_empty() {
            true => write!(out, "{}: {}", self.file, self.text),
            false => write!(out, "{}: {}: {}", self.file, self.path, self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line() {
        let rows = [
            ("", "a\nb", "f.json: a\\nb"),
            ("a\r\nb", "\u{1b}[31m ä", "f.json: a\\r\\nb: \\u{1b}[31m ä"),
        ];
        for (path, text, want) in rows {
            assert_eq!(Finding::new("f.json", path, text).to_string(), want);
        }
    }
}
