//! For tests: the time, and a temporary folder.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::now::Now;

/// A Monday, 2026-09-21T14:13:20Z.
pub fn now() -> Now {
    at(1_790_000_000_000)
}

/// The present instant, with the wall clock at `unix_ms`.
pub fn at(unix_ms: u64) -> Now {
    Now {
        instant: Instant::now(),
        unix_ms,
    }
}

/// A folder that no other test uses; it is removed when the value is dropped.
pub(crate) struct Folder(pub PathBuf);

impl Folder {
    /// A new, empty folder.
    pub fn new() -> Folder {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("ai-api-proxy-unit-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder can be made");
        Folder(path)
    }

    /// The path of `name` in it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays behind does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}
