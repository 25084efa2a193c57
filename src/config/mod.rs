//! Parses and validates the four files and reports every problem and warning. It does not know what they are used for.

pub mod clients;
pub mod environment;
pub mod fields;
pub mod findings;
pub mod json;
pub mod platforms;
pub mod settings;
pub mod watch;

use std::io::ErrorKind;
use std::path::Path;

pub use self::findings::{Finding, Findings};
pub use self::platforms::{Origin, Platform};
pub use self::settings::{Settings, TlsFiles};

use self::environment::Environment;
use self::json::Json;
use crate::base::client::ClientSpec;
use crate::base::file;

/// A configuration.
#[derive(Clone)]
pub struct Config {
    pub settings: Settings,
    pub clients: Vec<ClientSpec>,
    pub platforms: Vec<Platform>,
    pub findings: Findings,
}

/// Reads the files of `dir`. `process` looks up the process's own environment variables.
///
/// # Errors
/// Everything that was found, if there is a problem among it.
pub fn load(dir: &Path, process: &dyn Fn(&str) -> Option<String>) -> Result<Config, Findings> {
    let config = read(dir, process);
    match config.findings.problems.is_empty() {
        true => Ok(config),
        false => Err(config.findings),
    }
}

/// As [`load`], but if there are problems, with what can be understood.
pub fn read(dir: &Path, process: &dyn Fn(&str) -> Option<String>) -> Config {
    let mut all = Findings::default();
    let mut findings = Findings::of(environment::FILE);
    let environment = Environment::read(dir, process, &mut findings);
    all.append(findings);

    let mut findings = Findings::of(settings::FILE);
    let value = read_file(dir, settings::FILE, Missing::MeansDefaults, &mut findings);
    let settings = settings::read(
        &value.unwrap_or(Json::Object(Vec::new())),
        dir,
        &mut findings,
    );
    all.append(findings);

    let mut findings = Findings::of(platforms::FILE);
    let value = read_file(dir, platforms::FILE, Missing::IsAProblem, &mut findings);
    let platforms = value
        .map(|value| {
            platforms::read(
                &value,
                dir,
                &environment,
                settings.max_attempts,
                &mut findings,
            )
        })
        .unwrap_or_default();
    let platforms_findings = findings;

    let mut findings = Findings::of(clients::FILE);
    let names: Vec<&str> = platforms
        .iter()
        .map(|platform| platform.name.as_str())
        .collect();
    let are_all_known = platforms_findings.problems.is_empty();
    let names = are_all_known.then_some(names.as_slice());
    let value = read_file(dir, clients::FILE, Missing::IsAProblem, &mut findings);
    let clients = value
        .map(|value| clients::read(&value, names, &mut findings))
        .unwrap_or_default();
    all.append(findings);
    all.append(platforms_findings);

    Config {
        settings,
        clients,
        platforms,
        findings: all,
    }
}

/// What it means if a file does not exist.
enum Missing {
    MeansDefaults,
    IsAProblem,
}

fn read_file(dir: &Path, name: &str, missing: Missing, findings: &mut Findings) -> Option<Json> {
    let bytes = match (file::read(&dir.join(name)), missing) {
        (Ok(bytes), _) => bytes,
        (Err(error), Missing::MeansDefaults) if error.kind() == ErrorKind::NotFound => return None,
        (Err(error), _) => {
            let text = match error.kind() {
                ErrorKind::NotFound => format!(
                    "missing in {}; copy the one from the repository, or name the folder with --dir",
                    dir.display()
                ),
                _ => format!("cannot be read: {error}"),
            };
            findings.unreadable("", &error, text);
            return None;
        }
    };
    let Ok(text) = String::from_utf8(bytes) else {
        findings.problem("", "not UTF-8; save it as UTF-8".to_string());
        return None;
    };
    match Json::parse(&text) {
        Ok(value) => Some(value),
        Err(error) => {
            findings.problem("", format!("not JSON: {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests;
