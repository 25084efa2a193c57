//! The journal's file: opening, locking, appending, replacing. It knows bytes, and not what the records mean.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::record::{Damage, RECORD_BYTES_MAX, Record, Scan};

/// What a file of this program begins with; the version and the end of the line follow.
const MAGIC: &str = "ai-api-proxy journal ";
/// The header of the version that this program knows.
pub const HEADER: &[u8] = b"ai-api-proxy journal 1\n";

/// How much is read at once, however large a file is.
const PIECE_BYTES_MAX: usize = 1024 * 1024;

/// Only the owner reads and writes it.
const MODE: u32 = 0o600;

/// An open journal.
pub struct JournalFile {
    file: File,
    /// Device and inode number: they tell whether another file has taken this one's place.
    identity: (u64, u64),
    permissions: fs::Permissions,
    /// The position up to which its records are known.
    pub read_to: u64,
    /// How many bytes this process has appended since, in writes that succeeded. If the file has grown by no more than
    /// that, no other process has written, and nothing need be read.
    own_bytes: u64,
    /// Last known length; a shorter file has lost data.
    pub length_min: u64,
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It exists, and is not a journal that this program may write to.
    Refused(String),
    /// The operating system reported an error.
    Failed(String),
    /// Another process holds the lock: for a compaction, which takes a few milliseconds, or indefinitely, if it was
    /// stopped during one.
    Busy,
}

impl Fault {
    /// The reason in words, for the log.
    pub fn why(self) -> String {
        match self {
            Fault::Refused(why) | Fault::Failed(why) => why,
            Fault::Busy => "cannot be locked: another process holds the lock".to_string(),
        }
    }
}

/// What the start of a file says.
#[derive(Debug, PartialEq, Eq)]
pub enum Opening {
    /// A journal of this version; the records follow the header.
    Known,
    /// Empty, or an incomplete header.
    Unbegun,
    /// Records without a header: the file was emptied while a process wrote to it, or a power cut has left zeros in the
    /// place of its beginning.
    Headless,
    /// A file that this program must not touch, and why.
    Foreign(&'static str),
}

impl Opening {
    /// Whether the header is still to be written.
    pub fn lacks_header(&self) -> bool {
        match self {
            Opening::Unbegun | Opening::Headless => true,
            Opening::Known | Opening::Foreign(_) => false,
        }
    }
}

/// Which lock is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// To append: many processes may, while none replaces the file.
    Shared,
    /// To replace it, or to write its header.
    Exclusive,
}

impl JournalFile {
    /// Opens the file, or creates an empty one.
    ///
    /// # Errors
    /// What the operating system says; [`Fault::Refused`] if it is neither a regular file nor a character device.
    pub fn open(path: &Path) -> Result<JournalFile, Fault> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(MODE);
        let file = options
            .open(path)
            .map_err(|error| failed("opened", &error))?;
        JournalFile::around(file)
    }

    /// Opens a file to be read only.
    ///
    /// # Errors
    /// What the operating system says. Only a regular file is opened: a pipe would block the program.
    pub fn open_to_read(path: &Path) -> Result<JournalFile, Fault> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => {
                let file = File::open(path).map_err(|error| failed("opened", &error))?;
                JournalFile::around(file)
            }
            Ok(_) => Err(failed("opened", &ErrorKind::Unsupported.into())),
            Err(error) => Err(failed("opened", &error)),
        }
    }

    /// Whether [`JournalFile::open`] could open the file, or create it. It creates and changes nothing.
    ///
    /// # Errors
    /// As there.
    pub fn probe(path: &Path) -> Result<(), Fault> {
        let mut options = OpenOptions::new();
        match options.read(true).append(true).open(path) {
            Ok(file) => JournalFile::around(file).map(drop),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                probe_folder(path.parent().unwrap_or(path))
            }
            Err(error) => Err(failed("opened", &error)),
        }
    }

    fn around(file: File) -> Result<JournalFile, Fault> {
        let metadata = file.metadata().map_err(|error| failed("read", &error))?;
        let kind = metadata.file_type();
        if !kind.is_file() && !kind.is_char_device() {
            return Err(Fault::Refused("it is not a file".to_string()));
        }
        Ok(JournalFile {
            file,
            identity: identity(&metadata),
            permissions: metadata.permissions(),
            read_to: 0,
            own_bytes: 0,
            length_min: 0,
        })
    }

    /// Whether the path still leads to this very file, and the file has not become shorter.
    pub fn stands_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|metadata| {
            identity(&metadata) == self.identity && metadata.len() >= self.length_min
        })
    }

    fn size(&self) -> Result<u64, Fault> {
        match self.file.metadata() {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) => Err(failed("read", &error)),
        }
    }

    /// What the start of the file says. Nothing of it must have been read before.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn opening(&mut self) -> Result<Opening, Fault> {
        self.read_piece().map(|bytes| opening(&bytes))
    }

    /// Passes the records from `read_to` on to `take`, each with its writer, unless all of them are this process's own.
    /// Returns the damage between them, and how many bytes follow the last whole record.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn read_rest(&mut self, take: &mut dyn FnMut(u32, Record)) -> Result<(Damage, u64), Fault> {
        let mut damage = Damage::default();
        loop {
            let bytes = self.read_piece()?;
            let mut scan = Scan::new(&bytes);
            for (writer, record) in scan.by_ref() {
                take(writer, record);
            }
            self.read_to += scan.at as u64;
            damage += scan.damage;
            if bytes.len() < PIECE_BYTES_MAX {
                return Ok((damage, (bytes.len() - scan.at) as u64));
            }
        }
    }

    /// The next piece of what is still to be read.
    fn read_piece(&mut self) -> Result<Vec<u8>, Fault> {
        self.length_min = self.size()?;
        if self.length_min == self.read_to + self.own_bytes {
            self.read_to = self.length_min;
        }
        self.own_bytes = 0;
        let length = self.length_min.saturating_sub(self.read_to);
        let mut bytes = vec![0; length.min(PIECE_BYTES_MAX as u64) as usize];
        self.file
            .read_exact_at(&mut bytes, self.read_to)
            .map_err(|error| failed("read", &error))?;
        Ok(bytes)
    }

    /// Takes a lock without waiting. It lasts until [`JournalFile::unlock`] or until the file is closed.
    ///
    /// # Errors
    /// [`Fault::Busy`] when another process holds it; [`Fault::Failed`] when the file system has no locks.
    pub fn lock(&self, lock: Lock) -> Result<(), Fault> {
        let locked = match lock {
            Lock::Shared => self.file.try_lock_shared(),
            Lock::Exclusive => self.file.try_lock(),
        };
        locked.map_err(|error| match error {
            TryLockError::WouldBlock => Fault::Busy,
            TryLockError::Error(error) => failed("locked", &error),
        })
    }

    pub fn unlock(&self) {
        // No reason is known why this could fail; should it, the lock ends when the file is closed.
        let _ = self.file.unlock();
    }

    /// Appends `bytes`, in one write unless the kernel takes fewer. Returns how many were written, and why not all.
    pub fn append(&mut self, bytes: &[u8]) -> (usize, Result<(), Fault>) {
        let mut written = 0;
        while written < bytes.len() {
            match self.file.write(&bytes[written..]) {
                Ok(0) => {
                    return (
                        written,
                        Err(failed("written", &ErrorKind::WriteZero.into())),
                    );
                }
                Ok(count) => {
                    written += count;
                    self.length_min += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(failed("written", &error))),
            }
        }
        self.own_bytes += written as u64;
        (written, Ok(()))
    }

    /// Cuts off the last `bytes`, all of them written by this process, unless another process has written since. A
    /// shared lock that was held has become an exclusive one afterwards, or is lost.
    pub fn cut_off(&mut self, bytes: usize) {
        let length = self.length_min.saturating_sub(bytes as u64);
        if bytes > 0
            && self.lock(Lock::Exclusive).is_ok()
            && self.size() == Ok(self.length_min)
            && self.file.set_len(length).is_ok()
        {
            self.length_min = length;
        }
    }

    /// Writes `content` into a file without a header; its former content is dropped. The caller holds the exclusive
    /// lock.
    ///
    /// # Errors
    /// What the operating system says; at worst the header is then incomplete.
    pub fn begin(&mut self, content: &[u8]) -> Result<(), Fault> {
        if self.size()? > 0 {
            let emptied = self.file.set_len(0);
            emptied.map_err(|error| failed("written", &error))?;
        }
        self.length_min = 0;
        let (_, outcome) = self.append(content);
        if outcome.is_err() {
            // What was written may end within a record: the next attempt starts over.
            let _ = self.file.set_len(0);
        }
        self.read_to = content.len() as u64;
        self.own_bytes = 0;
        outcome
    }

    /// Replaces this file by a new one with `content`, and opens that. The caller holds the exclusive lock on this one,
    /// which stands at `path`.
    ///
    /// # Errors
    /// What the operating system says; this file then stays in its place.
    pub fn replace(&self, path: &Path, content: &[u8]) -> Result<JournalFile, Fault> {
        let aside = aside(path);
        let written = self.write_aside(&aside, content).and_then(|new| {
            fs::rename(&aside, path).map_err(|error| failed("replaced", &error))?;
            Ok(new)
        });
        if written.is_err() {
            let _ = fs::remove_file(&aside);
        }
        written
    }

    fn write_aside(&self, aside: &Path, content: &[u8]) -> Result<JournalFile, Fault> {
        match fs::remove_file(aside) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(failed("replaced", &error));
            }
            Ok(()) | Err(_) => {}
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(true).mode(MODE);
        let file = options.open(aside);
        let file = file.map_err(|error| failed("replaced", &error))?;
        file.set_permissions(self.permissions.clone())
            .map_err(|error| failed("replaced", &error))?;
        let mut new = JournalFile::around(file)?;
        new.append(content).1?;
        new.read_to = content.len() as u64;
        new.own_bytes = 0;
        Ok(new)
    }
}

/// What a file says that begins with `bytes`.
fn opening(bytes: &[u8]) -> Opening {
    let magic = MAGIC.as_bytes();
    if bytes.starts_with(HEADER) {
        return Opening::Known;
    }
    if HEADER.starts_with(bytes) {
        return Opening::Unbegun;
    }
    if is_headless(bytes) {
        return Opening::Headless;
    }
    match bytes.strip_prefix(magic) {
        Some([b'0'..=b'9', ..]) => Opening::Foreign("a newer version of ai-api-proxy wrote it"),
        Some(_) | None => Opening::Foreign("it is not a journal of ai-api-proxy"),
    }
}

/// Whether a record begins here: at once, or after zeros and the rest of the record in which they end.
fn is_headless(bytes: &[u8]) -> bool {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let mut scan = Scan::new(&bytes[zeros..]);
    let skipped_max = if zeros == 0 { 0 } else { RECORD_BYTES_MAX };
    scan.next().is_some() && scan.damage.bytes <= skipped_max
}

/// Whether a file can be created in `folder`, tried with an unnamed one, which ceases to exist when it is closed.
fn probe_folder(folder: &Path) -> Result<(), Fault> {
    let mut options = OpenOptions::new();
    options.write(true).mode(MODE).custom_flags(libc::O_TMPFILE);
    match options.open(folder).map_err(|error| (error.kind(), error)) {
        // On a file system without unnamed files, only the start itself finds out.
        Ok(_) | Err((ErrorKind::Unsupported | ErrorKind::IsADirectory, _)) => Ok(()),
        Err((_, error)) => Err(failed("opened", &error)),
    }
}

/// Whether the path leads to a device: one that takes records keeps none.
pub fn is_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_char_device())
}

/// Where a new version of the file is written before it takes its place.
pub fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn failed(what: &str, error: &io::Error) -> Fault {
    Fault::Failed(format!("cannot be {what}: {error}"))
}
