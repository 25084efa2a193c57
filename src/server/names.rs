//! The system's files about names, read again when they change: a laptop changes its network, a container gets its
//! name servers late.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::base::file::{self, is_out_of_descriptors};
use crate::base::now::Now;
use crate::config::watch::Watch;

/// Where the kernel describes each network interface.
const INTERFACES: &str = "/sys/class/net";

/// The two files, and whether they have changed.
pub(super) struct Names {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    watch: Watch,
}

impl Names {
    /// Watches the files of `folder`, which is `/etc` except in tests.
    pub(super) fn new(folder: &Path, now: Now) -> Names {
        let [hosts, resolv_conf] = ["hosts", "resolv.conf"].map(|name| folder.join(name));
        Names {
            watch: Watch::of([&hosts, &resolv_conf], now),
            hosts,
            resolv_conf,
        }
    }

    /// Both texts as they are now, with interfaces as numbers. An unreadable file counts as empty, and bytes that are
    /// not UTF-8 spoil only their own word. None when no descriptor is free: the next look takes the files for new.
    pub(super) fn read(&mut self) -> Option<(String, String)> {
        self.read_by(file::read)
    }

    fn read_by(&mut self, read: impl Fn(&Path) -> io::Result<Vec<u8>>) -> Option<(String, String)> {
        self.watch.take();
        let texts = [&self.hosts, &self.resolv_conf].map(|path| match read(path) {
            Err(error) if is_out_of_descriptors(&error) => None,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    log::warn!("{} cannot be read: {error}", path.display());
                }
                Some(String::new())
            }
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        });
        match texts {
            [Some(hosts), Some(resolv_conf)] => Some((hosts, number_zones(&resolv_conf, read))),
            [None, _] | [_, None] => {
                self.watch.give_back();
                None
            }
        }
    }

    /// Both texts, if it is time to look and there is a new version.
    pub(super) fn look(&mut self, now: Now) -> Option<(String, String)> {
        match self.watch.look(now) {
            true => self.read(),
            false => None,
        }
    }

    /// When the files are looked at next.
    pub(super) fn deadline(&self) -> Instant {
        self.watch.deadline()
    }
}

/// `text` with interface numbers in place of names in its addresses: `fe80::1%2` for `fe80::1%eth0`.
fn number_zones(text: &str, read: impl Fn(&Path) -> io::Result<Vec<u8>>) -> String {
    let mut parts = text.split('%');
    let mut numbered = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let ends = |character: char| character.is_whitespace() || matches!(character, ']' | '/');
        let (name, rest) = part.split_at(part.find(ends).unwrap_or(part.len()));
        let number = read(&Path::new(INTERFACES).join(name).join("ifindex")).ok();
        let number = number.and_then(|bytes| String::from_utf8(bytes).ok());
        numbered.push('%');
        numbered.push_str(number.as_deref().map_or(name, str::trim));
        numbered.push_str(rest);
    }
    numbered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::{Folder, now};
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    #[test]
    fn new_texts_are_given_once() {
        let folder = Folder::new();
        let mut now = now();
        let mut names = Names::new(&folder.0, now);
        assert_eq!(names.read(), Some(Default::default()));
        let no_descriptor = |_: &Path| Err(io::Error::from_raw_os_error(libc::EMFILE));
        assert_eq!(names.read_by(no_descriptor), None);
        let mut look = || {
            now = now.after(Duration::from_secs(1));
            names.look(now)
        };
        assert_eq!(look(), Some(Default::default()), "they are read now");
        assert_eq!(look(), None);
        for server in ["nameserver 192.0.2.1\n", "nameserver 192.0.2.17\n"] {
            fs::write(folder.at("resolv.conf"), server).expect("a file can be written");
            assert_eq!(look(), None, "it may still be written");
            assert_eq!(look(), Some((String::new(), server.to_string())));
            assert_eq!(look(), None);
        }
        fs::remove_file(folder.at("resolv.conf")).expect("it is there");
        symlink("/dev/zero", folder.at("resolv.conf")).expect("a link can be made");
        assert_eq!(look(), None);
        assert_eq!(look(), Some(Default::default()), "it says nothing, at once");
        fs::write(folder.at("hosts"), b"192.0.2.1 box # caf\xE9\n").expect("a file can be written");
        assert_eq!(look(), None);
        let hosts = "192.0.2.1 box # caf\u{FFFD}\n".to_string();
        assert_eq!(look(), Some((hosts, String::new())));
    }

    #[test]
    fn interfaces_become_numbers() {
        let mut names = Names::new(Path::new("/etc"), now());
        let rows = [
            ("", ""),
            ("nameserver ::1", "nameserver ::1"),
            ("nameserver fe80::1%eth0", "nameserver fe80::1%2"),
            (
                "nameserver [fe80::1%eth0]:54\nnameserver fe80::2%eth0 # 100% sure\n",
                "nameserver [fe80::1%2]:54\nnameserver fe80::2%2 # 100% sure\n",
            ),
            (
                "fe80::1%7 fe80::1%eth1 fe80::1%",
                "fe80::1%7 fe80::1%eth1 fe80::1%",
            ),
            ("fe80::1%../net/eth0", "fe80::1%../net/eth0"),
            ("fe80::1%/sys/class/net/eth0", "fe80::1%/sys/class/net/eth0"),
        ];
        for (text, want) in rows {
            let texts = names.read_by(|path| match path.to_str() {
                Some("/etc/resolv.conf") => Ok(text.into()),
                Some("/sys/class/net/eth0/ifindex") => Ok(b"2\n".to_vec()),
                Some(_) | None => Err(io::ErrorKind::NotFound.into()),
            });
            assert_eq!(texts, Some((String::new(), want.to_string())), "{text}");
        }
    }
}
