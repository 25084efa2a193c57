//! Detects changes of the files. It reads their metadata, which does not wait for a disk, and no content.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::base::now::Now;

/// How often the files are looked at. A change is taken up once all files have stayed the same for one more look, so
/// that an editor that writes in pieces is not interrupted.
const PERIOD: Duration = Duration::from_millis(600);

/// After how many looks a change is taken up in any case: within 2 seconds, even if another file changes all the time.
const LOOKS_MAX: u32 = 3;

/// How many files are always watched.
const OWN_FILES: usize = 4;

/// The files of one folder, and those that they name.
pub struct Watch {
    files: Vec<Watched>,
    next_at: Instant,
    /// How many looks in a row have found something new.
    looks: u32,
}

struct Watched {
    path: PathBuf,
    /// The version that was last taken up, if any, and the one that was seen at the last look.
    taken: Option<Stamp>,
    seen: Stamp,
}

/// Distinguishes the versions of a file; `None` if nothing is there.
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
        let paths = names.map(|name| dir.join(name));
        Watch::of(&paths, now)
    }

    /// Watches these files as they are now.
    pub fn of<'p>(paths: impl IntoIterator<Item = &'p PathBuf>, now: Now) -> Watch {
        let watched = |path: &PathBuf| Watched::new(path.clone());
        Watch {
            files: paths.into_iter().map(watched).collect(),
            next_at: now.instant + PERIOD,
            looks: 0,
        }
    }

    /// Also watches these files, in place of those that were added before.
    pub fn follow(&mut self, named_files: &[PathBuf]) {
        let mut former = self.files.split_off(OWN_FILES);
        for path in named_files {
            let place = former.iter().position(|file| file.path == *path);
            self.files.push(match place {
                // The former entry is kept: the file may have changed since it was read.
                Some(place) => former.swap_remove(place),
                None => Watched::new(path.clone()),
            });
        }
    }

    /// When the files are looked at next.
    pub fn deadline(&self) -> Instant {
        self.next_at
    }

    /// Looks, if it is time; returns whether there is a new version to be taken up.
    pub fn look(&mut self, now: Now) -> bool {
        if now.instant < self.next_at {
            return false;
        }
        self.next_at = now.instant + PERIOD;
        let mut is_still = true;
        for file in &mut self.files {
            let present = stamp(&file.path);
            is_still &= present == file.seen;
            file.seen = present;
        }
        let is_new = |file: &Watched| file.taken != Some(file.seen);
        self.looks = match self.files.iter().any(is_new) {
            true => self.looks + 1,
            false => 0,
        };
        self.looks > 0 && (is_still || self.looks >= LOOKS_MAX)
    }

    /// The present versions are about to be read: only later ones are new.
    pub fn take(&mut self) {
        self.looks = 0;
        for file in &mut self.files {
            file.seen = stamp(&file.path);
            file.taken = Some(file.seen);
        }
    }

    /// What was taken could not be read just now: it is still new at the next look.
    pub fn give_back(&mut self) {
        for file in &mut self.files {
            file.taken = None;
        }
    }
}

impl Watched {
    fn new(path: PathBuf) -> Watched {
        let seen = stamp(&path);
        Watched {
            path,
            taken: Some(seen),
            seen,
        }
    }
}

fn stamp(path: &Path) -> Stamp {
    // A link that leads nowhere is a version of its own: it is refused where a missing file is not.
    let facts = std::fs::metadata(path).or_else(|_| std::fs::symlink_metadata(path));
    let facts = facts.ok()?;
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
    use crate::base::testing::{Folder, now};
    use std::fs;
    use std::os::unix::fs::symlink;

    impl Folder {
        fn write(&self, name: &str, text: &str) {
            fs::write(self.at(name), text).expect("a file can be written");
        }

        fn rename(&self, from: &str, to: &str) {
            fs::rename(self.at(from), self.at(to)).expect("a file can be renamed");
        }
    }

    #[test]
    fn a_change_counts_once_it_is_still() {
        let folder = Folder::new();
        let write = |name: &str, text: &str| folder.write(name, text);
        write("key.json", "[]");
        // As Kubernetes mounts a ConfigMap: all files change by one link.
        for (version, text) in [("one", "[1]"), ("two", "[2]")] {
            fs::create_dir(folder.at(version)).expect("a folder can be made");
            write(&format!("{version}/platform.json"), text);
        }
        let link = |from: &str, to: &str| symlink(from, folder.at(to)).expect("a link");
        link("one", "..data");
        link("..data/platform.json", "platform.json");
        let mut now = now();
        let mut watch = Watch::new(&folder.0, now);
        watch.follow(&[folder.at("cert.pem")]);
        let mut look = |change: &dyn Fn()| {
            change();
            now = now.after(PERIOD);
            let is_new = watch.look(now);
            if is_new {
                watch.take();
            }
            is_new
        };
        let nothing = || {};
        let write_in_place = || write("key.json", "[ ]");
        let rename_over = || {
            write("new", "[ ]");
            folder.rename("new", "key.json");
        };
        let appear = || write(".env", "");
        let lead_nowhere = || link("nowhere", ".env");
        let go = || fs::remove_file(folder.at(".env")).expect("a file can be removed");
        let named = || write("cert.pem", "");
        let swap = || {
            link("two", "..new");
            folder.rename("..new", "..data");
        };
        assert!(!look(&nothing));
        let changes: [&dyn Fn(); 8] = [
            &write_in_place,
            &rename_over,
            &appear,
            &go,
            &lead_nowhere,
            &go,
            &named,
            &swap,
        ];
        for (place, change) in changes.into_iter().enumerate() {
            assert!(!look(change), "{place} may still be written");
            assert!(look(&nothing), "{place}");
            assert!(!look(&nothing), "{place} taken up once");
        }
        assert!(!look(&write_in_place));
        assert!(!look(&rename_over), "written again");
        assert!(look(&nothing));
        // Changes of another file do not keep a change waiting for ever.
        assert!(!look(&write_in_place));
        assert!(!look(&appear) && look(&go));
        assert!(!look(&appear) && !look(&go), "counted anew");
        assert!(!look(&nothing), "as it was taken");
    }

    #[test]
    fn what_was_taken_without_a_look_is_not_new() {
        let folder = Folder::new();
        let mut now = now();
        let mut watch = Watch::new(&folder.0, now);
        let cert = folder.at("cert.pem");
        watch.follow(std::slice::from_ref(&cert));
        folder.write("key.json", "[]");
        folder.write("cert.pem", "");
        watch.take();
        let mut look = |watch: &mut Watch| {
            now = now.after(PERIOD);
            watch.look(now)
        };
        assert!(!look(&mut watch) && !look(&mut watch));
        watch.give_back();
        assert!(look(&mut watch) && look(&mut watch), "until it is taken");
        watch.take();
        assert!(!look(&mut watch));
        // What changed between `take` and `follow` is new.
        folder.write("cert.pem", "more");
        watch.follow(&[folder.at("other.pem"), cert]);
        assert!(!look(&mut watch) && look(&mut watch));
    }
}
