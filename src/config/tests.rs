//! The four files as texts, and what is reported: `FILE: JSON-PATH: what is wrong; what to write instead`.

mod clients;
mod environment;
mod files;
mod headers;
mod paths;
mod platforms;
mod settings;

use super::*;
use crate::base::testing::Folder;

/// A key.json and a platform.json that give neither a problem nor a warning.
const KEYS: &str = r#"[{"key": "client-key-1"}]"#;
const PLATFORMS: &str =
    r#"[{"name": "p", "base_url": "https://h.example", "keys": ["sk-platform-1"]}]"#;

impl Folder {
    fn with(files: &[(&str, &[u8])]) -> Folder {
        let folder = Folder::new();
        for (name, content) in files {
            std::fs::write(folder.at(name), content).expect("a file can be written");
        }
        folder
    }
}

/// Loads `files`; files that are not among them are valid. `variables` are the process's own.
fn load_files(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Config, Findings> {
    let mut all: Vec<(&str, &[u8])> = vec![
        ("key.json", KEYS.as_bytes()),
        ("platform.json", PLATFORMS.as_bytes()),
    ];
    all.extend(files.iter().map(|(name, text)| (*name, text.as_bytes())));
    let folder = Folder::with(&all);
    let process = |name: &str| {
        let variable = variables.iter().find(|(known, _)| *known == name);
        variable.map(|(_, value)| value.to_string())
    };
    load(&folder.0, &process)
}

/// Loads files that must be valid.
fn valid(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Config {
    match load_files(files, variables) {
        Ok(config) => config,
        Err(findings) => panic!("{files:?}: {:?}", findings.problems),
    }
}

/// What is reported: each problem, then each warning after `warning: `.
fn lines(result: &Result<Config, Findings>) -> Vec<String> {
    let (problems, warnings): (&[Finding], &[Finding]) = match result {
        Ok(config) => (&[], &config.findings.warnings),
        Err(findings) => (&findings.problems, &findings.warnings),
    };
    let problems = problems.iter().map(Finding::to_string);
    let warnings = warnings.iter().map(|warning| format!("warning: {warning}"));
    problems.chain(warnings).collect()
}

/// Loads `file` with each row's text inside `frame`, and expects the row's lines; in them `@` stands for `at`, the
/// file's name and the path of the object that the rows fill.
fn expect_lines(file: &str, frame: (&str, &str), at: &str, rows: &[(&str, &[&str])]) {
    for (text, want) in rows {
        let content = format!("{}{text}{}", frame.0, frame.1);
        let found = lines(&load_files(&[(file, &content)], &[]));
        let want: Vec<String> = want.iter().map(|line| line.replace('@', at)).collect();
        assert_eq!(found, want, "{content}");
    }
}

/// Types that may hold a secret without being a `Secret` must not implement `Debug`: for one that does, both impls
/// apply, `_` is ambiguous, and this does not compile.
#[test]
fn what_may_hold_a_secret_cannot_be_printed() {
    trait IsNot<Which> {
        fn printable() {}
    }
    struct Printable;
    impl<T> IsNot<()> for T {}
    impl<T: std::fmt::Debug> IsNot<Printable> for T {}
    <Json as IsNot<_>>::printable();
    <Platform as IsNot<_>>::printable();
    <Config as IsNot<_>>::printable();
}
