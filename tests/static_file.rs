//! The program is a single file that needs no other: neither a loader nor a library, since an empty image has none.

use std::path::Path;

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
