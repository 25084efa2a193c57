//! Reads an object's fields, records every problem and goes on with defaults, so that all are reported at once. The
//! names that are asked for are the valid ones, so the list cannot go stale.

use std::ffi::OsStr;
use std::path::Path;

use super::findings::Findings;
use super::json::Json;
use crate::base::file;
use crate::base::secret::{KEY_CHARACTERS_MIN, Secret};

/// An object that is being read.
pub struct Fields<'j, 'f> {
    path: String,
    fields: &'j [(String, Json)],
    asked: Vec<&'static str>,
    findings: &'f mut Findings,
}

impl<'j, 'f> Fields<'j, 'f> {
    /// Begins with `value`, which is at `path`; `None` if it is not an object.
    pub fn of(value: &'j Json, path: &str, findings: &'f mut Findings) -> Option<Fields<'j, 'f>> {
        match value {
            Json::Object(fields) => Some(Fields {
                path: path.to_string(),
                fields,
                asked: Vec::new(),
                findings,
            }),
            other => {
                findings.problem(
                    path,
                    format!("expected an object, found {}; write {{ … }}", other.kind()),
                );
                None
            }
        }
    }

    /// The path of a field.
    fn path_of(&self, name: &str) -> String {
        match self.path.is_empty() {
            true => name.to_string(),
            false => format!("{}.{name}", self.path),
        }
    }

    pub fn problem(&mut self, name: &str, text: impl Into<String>) {
        let path = self.path_of(name);
        self.findings.problem(&path, text.into());
    }

    /// Whether neither the field nor a part of it has a problem so far: a warning that only follows from a problem
    /// would mislead.
    pub fn is_sound(&self, name: &str) -> bool {
        let field = self.path_of(name);
        // The problems of this object are the last ones.
        let problems = self.findings.problems.iter().rev();
        let mut own = problems.take_while(|problem| problem.path.starts_with(&self.path));
        !own.any(|problem| problem.path.starts_with(&field))
    }

    pub fn warning(&mut self, name: &str, text: impl Into<String>) {
        let path = self.path_of(name);
        self.findings.warning(&path, text.into());
    }

    /// Warns of a list that only counts while a flag is set: if it is given without that, or if it is empty in spite of
    /// it, for which `empty` is the text.
    pub fn warn_of_list(&mut self, list: (&str, bool), flag: (&str, bool), empty: &str) {
        let ((list, is_empty), (flag, is_set)) = (list, flag);
        if !self.is_sound(list) || !self.is_sound(flag) {
            return;
        }
        match (is_set, is_empty) {
            (true, true) => self.warning(list, empty),
            (false, false) => {
                let text = format!(
                    "has no effect while {flag} is false; set that to true, or leave the list out"
                );
                self.warning(list, text);
            }
            (true, false) | (false, true) => {}
        }
    }

    /// The field's value, if it is there and not null.
    pub fn value(&mut self, name: &'static str) -> Option<&'j Json> {
        self.asked.push(name);
        let mut found = self.fields.iter().filter(|(field, _)| field == name);
        let first = found.next();
        if found.next().is_some() {
            self.problem(name, "given more than once; keep one");
        }
        first
            .map(|(_, value)| value)
            .filter(|value| **value != Json::Null)
    }

    /// The content of a file that the field names. Changes of the file count as changes of the configuration.
    pub fn content(&mut self, name: &str, path: &Path) -> Option<Vec<u8>> {
        if path.to_string_lossy().contains("-----BEGIN") {
            self.problem(
                name,
                "holds PEM text; write the path of a file that holds it",
            );
            return None;
        }
        self.findings.named_files.push(path.to_path_buf());
        let content = file::read(path);
        content
            .map_err(|error| {
                let text = format!(
                    "{} cannot be read: {error}; write the path of a PEM file",
                    path_shown(path)
                );
                let place = self.path_of(name);
                self.findings.unreadable(&place, &error, text);
            })
            .ok()
    }

    pub fn flag(&mut self, name: &'static str, default: bool) -> bool {
        match self.value(name) {
            None => default,
            Some(Json::Bool(value)) => *value,
            Some(other) => {
                let text = format!(
                    "expected true or false, found {}; write {default}",
                    shown(other)
                );
                self.problem(name, text);
                default
            }
        }
    }

    /// A whole number of `unit` (empty for none) from `min` to `max`; `hint` says what to write instead of a wrong one.
    pub fn whole(
        &mut self,
        name: &'static str,
        default: u64,
        range: (u64, u64),
        unit: &str,
        hint: &str,
    ) -> u64 {
        let (min, max) = range;
        let of_unit = match unit.is_empty() {
            true => String::new(),
            false => format!(" of {unit}"),
        };
        match self.value(name) {
            None => default,
            Some(Json::Whole(value)) if (min..=max).contains(value) => *value,
            Some(Json::Whole(value)) => {
                let text = format!(
                    "{value} is out of range; write a whole number{of_unit} from {min} to {max}"
                );
                self.problem(name, text);
                default
            }
            Some(other) => {
                let text = format!(
                    "expected a whole number{of_unit}, found {}; {hint}",
                    shown(other)
                );
                self.problem(name, text);
                default
            }
        }
    }

    pub fn text(&mut self, name: &'static str) -> Option<&'j str> {
        let value = self.value(name)?;
        self.text_of(name, value)
    }

    /// `value`, which is at `place`, as a text.
    pub fn text_of(&mut self, place: &str, value: &'j Json) -> Option<&'j str> {
        match value {
            Json::Text(text) => Some(text),
            other => {
                let text = format!(
                    "expected a text, found {}; write it in double quotes",
                    other.kind()
                );
                self.problem(place, text);
                None
            }
        }
    }

    /// A text that must be there; `hint` says what to write.
    pub fn required_text(&mut self, name: &'static str, hint: &str) -> Option<&'j str> {
        let is_missing = !self
            .fields
            .iter()
            .any(|(field, value)| field == name && *value != Json::Null);
        let text = self.text(name);
        if is_missing {
            self.problem(name, format!("missing; {hint}"));
        }
        text
    }

    /// A list of texts, each with the end of its path (`name[2]`); an item that is no text is a problem and left out.
    pub fn texts(&mut self, name: &'static str) -> Option<Vec<(String, &'j str)>> {
        let items = match self.value(name)? {
            Json::List(items) => items,
            other => {
                let text = format!(
                    "expected a list, found {}; write [\"…\", \"…\"]",
                    shown(other)
                );
                self.problem(name, text);
                return None;
            }
        };
        let mut texts = Vec::new();
        for (place, item) in items.iter().enumerate() {
            let place = format!("{name}[{place}]");
            if let Some(text) = self.text_of(&place, item) {
                texts.push((place, text));
            }
        }
        Some(texts)
    }

    /// Reports fields that were not asked for.
    pub fn done(mut self) {
        let unknown: Vec<&String> = self
            .fields
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !self.asked.contains(&name.as_str()))
            .collect();
        for name in unknown {
            let text = match nearest(name, &self.asked) {
                Some(near) => format!("unknown field; did you mean {near:?}?"),
                None => format!("unknown field; the fields are: {}", self.asked.join(", ")),
            };
            let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            let place = match closest(name, &self.asked) {
                Some(_) => name.clone(),
                None => name_shown(name, is_letter),
            };
            self.problem(&place, text);
        }
    }
}

/// A value as a message shows it.
fn shown(value: &Json) -> String {
    match value {
        Json::Text(text) => quoted(text),
        other => other.kind(),
    }
}

/// A text as a message shows it: in full only if it is too short to be a key that was put into the wrong field.
pub fn quoted(text: &str) -> String {
    match text.len() < KEY_CHARACTERS_MIN {
        true => format!("{text:?}"),
        false => format!("{:?}", Secret::new(text).preview()),
    }
}

/// The longest extension of a file's name; a key may contain a dot, too.
const EXTENSION_BYTES_MAX: usize = 4;

/// A file's path as a message shows it: in full if its name has an extension. Otherwise it may be a key.
fn path_shown(path: &Path) -> String {
    let is_plain = |extension: &OsStr| extension.len() <= EXTENSION_BYTES_MAX;
    match path.extension().is_some_and(is_plain) {
        true => path.display().to_string(),
        false => quoted(&path.to_string_lossy()),
    }
}

/// The longest name that is shown in full because of its letters alone.
const NAME_BYTES_SHOWN_MAX: usize = 40;

/// A field's name from the file, as a path shows it: a key may have been put in its place. It is shown in full if it is
/// too short for a key, or has only letters that names have.
pub fn name_shown(name: &str, is_letter: impl Fn(u8) -> bool) -> String {
    let is_plain = name.len() <= NAME_BYTES_SHOWN_MAX && name.bytes().all(is_letter);
    match is_plain || name.len() < KEY_CHARACTERS_MIN {
        true => name.to_string(),
        false => Secret::new(name).preview(),
    }
}

/// A name is recognised as the beginning of a valid one only if it is at least this long: shorter ones begin too many.
const NAME_BYTES_TELLING: usize = 4;

/// The valid name that `name` probably means: at most a third of its letters differ, or one begins with the other.
pub fn nearest<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let begins = |valid: &&&str| valid.starts_with(name) || name.starts_with(**valid);
    let is_telling = name.len() >= NAME_BYTES_TELLING;
    closest(name, names).or_else(|| names.iter().find(begins).copied().filter(|_| is_telling))
}

/// The valid name of which at most a third of the letters differ.
fn closest<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let distance = |valid: &&'n str| strsim::damerau_levenshtein(&name.to_lowercase(), valid);
    let best = names.iter().copied().min_by_key(distance)?;
    (distance(&best) * 3 <= best.len().max(name.len())).then_some(best)
}
