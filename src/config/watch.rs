//! Whether the files have changed. It asks for their facts, which waits for no disk, and reads no content.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::base::now::Now;

/// How often the files are looked at. A change is taken up once it has been still for one more look, so within twice
/// this: an editor that writes in pieces is not interrupted.
const PERIOD: Duration = Duration::from_millis(700);

/// How many files are always watched.
const OWN_FILES: usize = 4;

/// The files of one folder, and those that they name.
pub struct Watch {
    paths: Vec<PathBuf>,
    /// What was last taken up, and what was seen at the last look.
    taken: Vec<Stamp>,
    seen: Vec<Stamp>,
    next_at: Instant,
}

/// What distinguishes one version of a file; none when it is not there.
type Stamp = Option<(u64, u64, i64, i64, i64, i64)>;

impl Watch {
    /// Watches the four files of `dir` as they are now.
    pub fn new(dir: &Path, now: Now) -> Watch {
        let names: [&str; OWN_FILES] = [
            super::environment::FILE,
            super::settings::FILE,
            super::clients::FILE,
            super::platforms::FILE,
        ];
        let paths: Vec<PathBuf> = names.iter().map(|name| dir.join(name)).collect();
        let seen: Vec<Stamp> = paths.iter().map(|path| stamp(path)).collect();
        Watch {
            paths,
            taken: seen.clone(),
            seen,
            next_at: now.instant + PERIOD,
        }
    }

    /// Watches these files too, in place of those that were added before.
    pub fn follow(&mut self, named_files: &[PathBuf]) {
        for stamps in [&mut self.taken, &mut self.seen] {
            stamps.truncate(OWN_FILES);
            stamps.extend(named_files.iter().map(|path| stamp(path)));
        }
        self.paths.truncate(OWN_FILES);
        self.paths.extend_from_slice(named_files);
    }

    /// When the files are looked at next.
    pub fn deadline(&self) -> Instant {
        self.next_at
    }

    /// Looks, if it is time; whether there is a new version that has been still since the last look.
    pub fn look(&mut self, now: Now) -> bool {
        if now.instant < self.next_at {
            return false;
        }
        self.next_at = now.instant + PERIOD;
        let present: Vec<Stamp> = self.paths.iter().map(|path| stamp(path)).collect();
        let is_still = present == self.seen;
        self.seen = present;
        is_still && self.seen != self.taken && {
            self.taken.clone_from(&self.seen);
            true
        }
    }
}

fn stamp(path: &Path) -> Stamp {
    let facts = std::fs::metadata(path).ok()?;
    Some((
        facts.ino(),
        facts.size(),
        facts.mtime(),
        facts.mtime_nsec(),
        facts.ctime(),
        facts.ctime_nsec(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_change_counts_once_it_is_still() {
        let dir = std::env::temp_dir().join(format!("watch-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a folder can be made");
        let mut now = Now {
            instant: Instant::now(),
            unix_ms: 0,
        };
        let key = dir.join("key.json");
        fs::write(&key, "[]").expect("a file can be written");
        let mut watch = Watch::new(&dir, now);
        let mut look = |change: &dyn Fn()| {
            change();
            now = now.after(PERIOD);
            watch.look(now)
        };
        let nothing = || {};
        assert!(!look(&nothing));
        let write_in_place = || fs::write(&key, "[ ]").expect("a file can be written");
        assert!(!look(&write_in_place), "it may still be written");
        assert!(look(&nothing));
        assert!(!look(&nothing), "taken up once");
        let rename_over = || {
            fs::write(dir.join("new"), "[ ]").expect("a file can be written");
            fs::rename(dir.join("new"), &key).expect("a file can be renamed");
        };
        assert!(!look(&rename_over));
        assert!(look(&nothing));
        let appear = || fs::write(dir.join(".env"), "").expect("a file can be written");
        assert!(!look(&appear));
        assert!(look(&nothing));
        let go = || fs::remove_file(dir.join(".env")).expect("a file can be removed");
        assert!(!look(&go));
        assert!(look(&nothing));
        fs::remove_dir_all(&dir).expect("the folder can be removed");
    }
}
