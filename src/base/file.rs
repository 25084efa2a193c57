//! Reading whole files without blocking on a pipe or a device.

use std::io;
use std::path::Path;

/// No file that is read here is larger.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The content of a regular file, or of one that a link leads to. Opening a pipe or a device could block the whole
/// program.
///
/// # Errors
/// What the operating system says; also if the path is not such a file, or the file is too large.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let facts = std::fs::metadata(path).map_err(|error| {
        // A caller that uses defaults for a missing file must not do so for a dangling link.
        let is_link = error.kind() == io::ErrorKind::NotFound && path.is_symlink();
        match is_link {
            true => io::Error::other("it is a link that leads nowhere"),
            false => error,
        }
    })?;
    if !facts.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if facts.len() > BYTES_MAX {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    std::fs::read(path)
}

/// EMFILE and ENFILE, which have no `ErrorKind` of their own.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENFILE | libc::EMFILE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::Folder;
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_read_and_what_is_refused() {
        let folder = Folder::new();
        let at = |name: &str| folder.at(name);
        fs::write(at("file"), "text").expect("a file can be written");
        symlink("file", at("link")).expect("a link can be made");
        symlink("/dev/zero", at("device")).expect("a link can be made");
        symlink("nowhere", at("dangling")).expect("a link can be made");
        let large = File::create(at("large")).expect("a file can be made");
        large.set_len(BYTES_MAX + 1).expect("it has no content");
        for name in ["file", "link"] {
            assert_eq!(read(&at(name)).expect("it can be read"), b"text");
        }
        for (name, want) in [
            ("device", "it is not a regular file"),
            (".", "it is not a regular file"),
            ("large", "it is larger than 16 MiB"),
            ("dangling", "it is a link that leads nowhere"),
            ("none", "No such file or directory (os error 2)"),
        ] {
            let error = read(&at(name)).expect_err("it is refused");
            assert_eq!(error.to_string(), want, "{name}");
        }
    }
}
