//! Variables: the process environment first, then `.env`.

use std::collections::HashMap;
use std::path::Path;

use super::findings::Findings;

pub const FILE: &str = ".env";

/// Where the values of variables come from.
pub struct Environment<'e> {
    process: &'e dyn Fn(&str) -> Option<String>,
    file: HashMap<String, String>,
}

impl<'e> Environment<'e> {
    /// Reads `.env` in `dir`, as dotenvy reads it. Without the file there are only the process's variables.
    pub fn read(
        dir: &Path,
        process: &'e dyn Fn(&str) -> Option<String>,
        findings: &mut Findings,
    ) -> Environment<'e> {
        let path = dir.join(FILE);
        let mut file = HashMap::new();
        if path.exists() {
            match dotenvy::from_path_iter(&path) {
                Ok(pairs) => {
                    for pair in pairs {
                        match pair {
                            Ok((name, value)) => drop(file.insert(name, value)),
                            Err(error) => findings.problem("", describe(&error)),
                        }
                    }
                }
                Err(error) => findings.problem("", describe(&error)),
            }
        }
        Environment { process, file }
    }

    /// A variable's value, without blanks around it; none when it is not set.
    pub fn value(&self, name: &str) -> Option<String> {
        let value = (self.process)(name).or_else(|| self.file.get(name).cloned());
        value.map(|value| value.trim().to_string())
    }
}

/// Without the line itself, which may hold a key.
fn describe(error: &dotenvy::Error) -> String {
    match error {
        dotenvy::Error::LineParse(line, place) => {
            let name = line.split('=').next().unwrap_or_default().trim();
            let shown = if line.contains('=') {
                name
            } else {
                "a line without `=`"
            };
            format!(
                "{shown}: cannot be read (at character {place}); write NAME=value, or NAME=\"value\" with blanks in it"
            )
        }
        dotenvy::Error::Io(error) => format!("cannot be read: {error}"),
        dotenvy::Error::EnvVar(error) => format!("cannot be read: {error}"),
        _ => "cannot be read".to_string(),
    }
}
