//! The project's rules, checked on the source text: who imports whom, where the clock is read, how long things get, and
//! that a `match` on one of the program's own enums names every variant. It relies on rustfmt's layout.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every part of the program, and the parts that it imports. Those are listed above it, so that there is no cycle;
/// http, figures, policy, net and config are side by side and know nothing of each other.
const LAYERS: [(&str, &str); 20] = [
    ("lib", ""),
    ("arguments", ""),
    ("base", ""),
    ("http", "base"),
    ("figures", "base"),
    ("policy", "base"),
    ("net", "base"),
    ("config", "base"),
    ("capacity", ""),
    ("listen", ""),
    ("site", "base config net policy"),
    ("journal", "base policy"),
    ("ledger", "base journal policy"),
    ("service", "base config figures policy site"),
    (
        "exchange",
        "base figures http ledger net policy service site",
    ),
    ("session", "base exchange net policy"),
    ("reload", "base config exchange journal policy site"),
    (
        "server",
        "base capacity config exchange listen net reload session",
    ),
    (
        "start",
        "capacity config exchange ledger listen net policy reload server site",
    ),
    ("main", "arguments server start"),
];

/// The modules of net that exchange may use; it never sees a socket.
const NET_WORDS: [&str; 3] = ["connection", "dial", "fault"];

/// The only file that reads clocks.
const CLOCK: &str = "src/server.rs";

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// The most crates, besides this one, whose code is part of the program or generates some of it.
const CRATES_MAX: usize = 45;

/// One file of the program.
struct Source {
    path: String,
    /// Its lines, without comments and inline tests.
    code: Vec<String>,
    begins_with_its_purpose: bool,
    /// Whether it is compiled for tests only.
    is_test: bool,
}

impl Source {
    /// The layer that it belongs to.
    fn part(&self) -> &str {
        word(self.path.trim_start_matches("src/"))
    }

    /// The path of `super::` that leads from here to the crate's root.
    fn way_up(&self) -> String {
        let place = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let place = place.trim_end_matches("/mod");
        "super::".repeat(place.split('/').count())
    }

    /// Whether `name` is imported from the standard library here.
    fn takes_from_outside(&self, name: &str) -> bool {
        let mut lines = self.code.iter();
        lines.any(|line| line.starts_with("use std::") && line.contains(name))
    }
}

#[test]
fn layers() {
    let mut used = BTreeSet::new();
    let mut faults = Vec::new();
    for source in program() {
        let way_up = source.way_up();
        for line in &source.code {
            let imports = ["crate::", "ai_api_proxy::", &way_up]
                .into_iter()
                .flat_map(|root| after_each(line, root));
            for import in imports {
                let part = word(import);
                if part == source.part() {
                    continue;
                }
                let row = LAYERS.iter().find(|(name, _)| *name == source.part());
                if !row.is_some_and(|(_, allowed)| allowed.split(' ').any(|name| name == part)) {
                    faults.push(format!("{} imports {part}: {}", source.path, line.trim()));
                }
                let below = import.get(part.len() + 2..).map(word).unwrap_or_default();
                if (source.part(), part) == ("exchange", "net") && !NET_WORDS.contains(&below) {
                    faults.push(format!("{} imports net::{below}", source.path));
                }
                used.insert((source.part().to_string(), part.to_string()));
            }
        }
    }
    for (place, (part, allowed)) in LAYERS.iter().enumerate() {
        for import in allowed.split_whitespace() {
            if !LAYERS[..place].iter().any(|(name, _)| *name == import) {
                faults.push(format!("{import} stands below {part} in the table"));
            }
            if !used.contains(&(part.to_string(), import.to_string())) {
                faults.push(format!(
                    "{part} may import {import} and does not: strike it"
                ));
            }
        }
    }
    none(&faults);
}

#[test]
fn words_that_are_not_used() {
    let mut faults = Vec::new();
    for source in program() {
        for line in &source.code {
            let reads_clock = ["Instant::now", "SystemTime::now", ".elapsed()"]
                .iter()
                .any(|read| line.contains(read));
            let is_forbidden = line.contains("Rc<RefCell") || line.contains("unsafe ");
            if is_forbidden || (reads_clock && source.path != CLOCK) {
                faults.push(format!("{}: {}", source.path, line.trim()));
            }
        }
    }
    none(&faults);
    let read = |path| fs::read_to_string(Path::new(ROOT).join(path)).expect("it is there");
    assert!(read("src/lib.rs").contains("#![forbid(unsafe_code)]"));
    let clock = read(CLOCK);
    for read in ["Instant::now", "SystemTime::now"] {
        assert_eq!(clock.matches(read).count(), 1);
    }
}

#[test]
fn lengths_and_beginnings() {
    let mut faults = Vec::new();
    for source in sources() {
        if !source.begins_with_its_purpose {
            faults.push(format!("{} does not begin with //!", source.path));
        }
        if source.code.len() > FILE_LINES_MAX {
            faults.push(format!("{}: {} lines", source.path, source.code.len()));
        }
        if source.is_test {
            continue;
        }
        for (place, line) in source.code.iter().enumerate() {
            let length = function_length(&source.code[place..]);
            if length > FUNCTION_LINES_MAX {
                faults.push(format!("{}: {length} lines: {line}", source.path));
            }
        }
    }
    none(&faults);
}

/// A wildcard arm would also match variants that are added later: the compiler could not point out the place to change.
#[test]
fn every_variant_is_named() {
    let mut enums = BTreeSet::new();
    for source in program() {
        for line in &source.code {
            enums.extend(after_each(line, "enum ").map(|name| word(name).to_string()));
        }
    }
    enums.insert("Self".to_string());
    let mut faults = Vec::new();
    for source in program() {
        for (place, line) in source.code.iter().enumerate() {
            let arm = line.trim_start();
            if !takes_anything(arm) {
                continue;
            }
            let depth = line.len() - arm.len();
            let above = source.code[..place].iter().rev();
            let of_match = above.take_while(|line| line.is_empty() || indent(line) >= depth);
            let own = of_match
                .filter(|line| indent(line) == depth)
                .map(|line| {
                    line.split("=>")
                        .next()
                        .expect("a part")
                        .trim_start_matches(['|', ' ', '(', '&'])
                })
                .find(|pattern| pattern.contains("::") && enums.contains(word(pattern)))
                .filter(|pattern| !source.takes_from_outside(word(pattern)));
            if let Some(own) = own {
                faults.push(format!("{}:{}: _ beside {own}", source.path, place + 1));
            }
        }
    }
    none(&faults);
}

/// Whether an arm's pattern is `_`, or several of them.
fn takes_anything(arm: &str) -> bool {
    let Some((pattern, _)) = arm.split_once(" =>") else {
        return false;
    };
    let pattern = pattern.split(" if ").next().expect("a part");
    let mut parts = pattern.trim_matches(['(', ')']).split(", ");
    parts.all(|part| part == "_")
}

#[test]
fn few_crates_ship_and_each_has_its_reason() {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).expect("it is there");
    for table in manifest
        .split("\n[")
        .filter(|table| table.contains("dependencies]\n"))
    {
        for line in table.lines().skip(1).take_while(|line| !line.is_empty()) {
            assert!(
                line.contains("} # ") || line.contains("  # "),
                "without a reason: {line}"
            );
        }
    }
    let tree = Command::new(std::env::var("CARGO").unwrap_or("cargo".to_string()))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .current_dir(ROOT)
        .output()
        .expect("cargo runs");
    let text = String::from_utf8(tree.stdout).expect("names are ASCII");
    let crates: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split(" (").next())
        .collect();
    let count = crates.len().checked_sub(1).expect("this one is among them");
    assert!((1..=CRATES_MAX).contains(&count), "{count}: {crates:#?}");
}

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The program's files, without those that are compiled for tests only.
fn program() -> impl Iterator<Item = Source> {
    sources().into_iter().filter(|source| !source.is_test)
}

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    find(&Path::new(ROOT).join("src"), &mut paths);
    assert!(paths.len() > 50, "the source is where it was");
    let mut sources = Vec::new();
    let mut for_tests = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("a source is text");
        let code = code_of(&text);
        let folder = match path.file_stem().and_then(|stem| stem.to_str()) {
            Some("mod" | "lib" | "main") => path.parent().expect("a folder").to_path_buf(),
            _ => path.with_extension(""),
        };
        for pair in code.windows(2) {
            let module = pair[1]
                .split("mod ")
                .nth(1)
                .and_then(|rest| rest.strip_suffix(';'));
            if let ("#[cfg(test)]", Some(module)) = (pair[0].trim(), module) {
                for_tests.push(folder.join(module));
            }
        }
        sources.push((path, code, text.starts_with("//! ")));
    }
    let is_test = |path: &Path| {
        for_tests
            .iter()
            .any(|test| path.with_extension("").starts_with(test))
    };
    let sources = sources
        .into_iter()
        .map(|(path, code, begins_with_its_purpose)| Source {
            is_test: is_test(&path),
            path: path
                .strip_prefix(ROOT)
                .expect("below")
                .display()
                .to_string(),
            code,
            begins_with_its_purpose,
        });
    sources.collect()
}

fn find(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            find(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// The lines without comments and without the module of tests at the file's end.
fn code_of(text: &str) -> Vec<String> {
    let tests = text.find("#[cfg(test)]\nmod tests {");
    let lines = text[..tests.unwrap_or(text.len())].lines();
    lines
        .map(|line| {
            line.split("//")
                .next()
                .expect("a part")
                .trim_end()
                .to_string()
        })
        .collect()
}

/// The number of lines of the function that begins at the first of these, else 0.
fn function_length(code: &[String]) -> usize {
    let mut words = code[0].split_whitespace();
    let begins = words.find(|word| !word.starts_with("pub") && *word != "const") == Some("fn");
    let end = format!("{}}}", " ".repeat(indent(&code[0])));
    let is_short = code[0].ends_with(['}', ';']);
    match begins && !is_short {
        true => 1 + code.iter().take_while(|line| **line != end).count(),
        false => 0,
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn is_of_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// The word at the beginning of `text`.
fn word(text: &str) -> &str {
    text.split(|char| !is_of_word(char)).next().expect("a part")
}

/// What follows each occurrence of `mark` that does not continue a word.
fn after_each<'l>(line: &'l str, mark: &'l str) -> impl Iterator<Item = &'l str> {
    let places = line.match_indices(mark);
    places
        .filter(|(at, _)| !line[..*at].ends_with(is_of_word))
        .map(|(at, _)| &line[at + mark.len()..])
}
