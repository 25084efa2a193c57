//! The program is a single file that needs no other: neither a loader nor a library nor a device, since an empty image
//! has none.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use support::proxy::new_folder;
use support::untested;

/// A segment that names the program's interpreter, the dynamic loader (ELF: `PT_INTERP`).
const INTERPRETER: u32 = 3;

/// The kinds of the segments of a 64-bit little-endian ELF file.
fn segment_kinds(path: &Path) -> Vec<u32> {
    let file = std::fs::read(path).expect("it can be read");
    assert_eq!(&file[..6], b"\x7fELF\x02\x01", "64 bits, little-endian");
    let number = |at: usize, bytes: usize| {
        let digits = file[at..at + bytes].iter().rev();
        digits.fold(0, |number, digit| number << 8 | usize::from(*digit))
    };
    let (table, entry_bytes, entries) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
    (0..entries)
        .map(|entry| number(table + entry * entry_bytes, 4) as u32)
        .collect()
}

#[test]
#[cfg(all(
    target_os = "linux",
    target_endian = "little",
    target_pointer_width = "64"
))]
fn the_program_asks_for_no_loader() {
    let is_static = cfg!(target_feature = "crt-static");
    assert!(is_static, "RUSTFLAGS hides .cargo/config.toml");
    let program = segment_kinds(Path::new(env!("CARGO_BIN_EXE_ai-api-proxy")));
    assert!(!program.contains(&INTERPRETER), "{program:?}");
    let dynamic = segment_kinds(Path::new("/bin/sh"));
    assert!(
        dynamic.contains(&INTERPRETER),
        "this test would see one: {dynamic:?}"
    );
}

/// The program in a folder that is the whole file system to it.
fn alone_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--root"])
        .arg(folder)
        .arg("/ai-api-proxy")
        .args(arguments);
    command
}

#[test]
fn the_program_starts_where_there_is_no_other_file() {
    let folder = new_folder();
    fs::copy(
        env!("CARGO_BIN_EXE_ai-api-proxy"),
        folder.join("ai-api-proxy"),
    )
    .expect("it can be copied");
    for (name, text) in [
        ("config.json", r#"{"host": "127.0.0.1", "port": 0}"#),
        ("key.json", "[]"),
        ("platform.json", "[]"),
    ] {
        fs::write(folder.join(name), text).expect("a file can be written");
    }
    let entered = alone_in(&folder, &["--version"]).output();
    if entered.as_ref().is_ok_and(|output| output.status.success()) {
        let mut command = alone_in(&folder, &["--dir", "/"]);
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was there");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut lines = output.lines().map(|line| line.expect("text"));
        let is_started = lines.any(|line| line.starts_with("listening on "));
        child.kill().expect("it can be killed");
        child.wait().expect("a child can be awaited");
        assert!(is_started, "standard error says why");
    } else {
        untested("a start where there is no other file", entered);
    }
    let _ = fs::remove_dir_all(folder);
}
