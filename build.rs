//! Packs the dashboard's files for the binary: each plain and gzipped, with an entity tag of its content. The generated
//! table includes them by relative path, so that a checkout that is moved together with its build output still builds.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() {
    println!("cargo::rerun-if-changed=static");
    let source =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("static");
    let target = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let mut files: Vec<PathBuf> = fs::read_dir(&source)
        .expect("static is there")
        .map(|entry| entry.expect("static can be read").path())
        .collect();
    files.sort();
    let mut table = String::from("&[\n");
    for file in &files {
        write_entry(&mut table, file, &target);
    }
    table.push(']');
    fs::write(target.join("assets.rs"), table).expect("OUT_DIR can be written");
}

fn write_entry(table: &mut String, file: &Path, target: &Path) {
    let name = file
        .file_name()
        .expect("a file has a name")
        .to_string_lossy();
    let content_type = match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => panic!("static/{name}: give its type in build.rs"),
    };
    let bytes = fs::read(file).expect("static can be read");
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(&bytes).expect("memory can be written");
    let packed = packer.finish().expect("memory can be written");
    fs::write(target.join(&*name), &bytes).expect("OUT_DIR can be written");
    fs::write(target.join(format!("{name}.gz")), packed).expect("OUT_DIR can be written");
    let mut check = flate2::Crc::new();
    check.update(&bytes);
    let (sum, length) = (check.sum(), bytes.len());
    writeln!(
        table,
        "Asset {{ name: {name:?}, content_type: {content_type:?}, etag: \"W/\\\"{sum:08x}-{length:x}\\\"\", \
         bytes: include_bytes!({name:?}), gzip: include_bytes!(\"{name}.gz\") }},",
    )
    .expect("a string can be written");
}
