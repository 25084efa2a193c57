//! A folder of its own for the properties that need files, the same one for each run of a thread.

use std::path::{Path, PathBuf};
use std::thread;

pub struct Folder(PathBuf);

impl Folder {
    pub fn new(purpose: &str) -> Folder {
        let owner = format!("{}-{:?}", std::process::id(), thread::current().id());
        let path = std::env::temp_dir().join(format!("properties-{purpose}-{owner}"));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a temporary folder can be made");
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that is left behind does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
