//! The log: a line on standard error for each record. It waits for nobody who reads it.

use std::fmt::Arguments;
use std::io::{Write, stderr};
use std::os::fd::RawFd;
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

use log::{Level, Log, Metadata, Record};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::server::read_clock;

const STDERR: RawFd = 2;

/// What a pipe with any room at all takes at once (PIPE_BUF): a longer line might wait for its reader.
const LINE_BYTES_MAX: usize = 4096;

/// Where the lines go. Its lock is never waited for: the loop has one thread.
pub(super) struct Lines(Mutex<Outlet>);

struct Outlet {
    /// Tells whether there is room; none where nothing ever waits, as with a file.
    watch: Option<(Poll, Events)>,
    /// Lines that have found no room since one was written.
    dropped: usize,
}

impl Lines {
    pub(super) fn new() -> Lines {
        let watch = Poll::new().ok().filter(|poll| {
            let mut source = SourceFd(&STDERR);
            let registry = poll.registry();
            let watched = registry.register(&mut source, Token(0), Interest::WRITABLE);
            watched.is_ok()
        });
        Lines(Mutex::new(Outlet {
            watch: watch.map(|poll| (poll, Events::with_capacity(1))),
            dropped: 0,
        }))
    }
}

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // At the finest level the poll tells of its work, too. Of its work for a line it does not.
        if let Ok(mut outlet) = self.0.try_lock() {
            outlet.put(record);
        }
    }

    fn flush(&self) {}
}

impl Outlet {
    fn put(&mut self, record: &Record<'_>) {
        if self.dropped > 0 && self.has_room() {
            let dropped = std::mem::take(&mut self.dropped);
            let text = format_args!("{dropped} lines of the log were dropped: nobody read it");
            write(Level::Warn, module_path!(), text);
        }
        match self.has_room() {
            true => write(record.level(), record.target(), *record.args()),
            false => self.dropped += 1,
        }
    }

    /// Whether a line can be written at once.
    fn has_room(&mut self) -> bool {
        let Some((poll, events)) = &mut self.watch else {
            return true;
        };
        // Watched anew, it tells how things stand and not what has changed.
        let registry = poll.registry();
        let watched = registry.reregister(&mut SourceFd(&STDERR), Token(0), Interest::WRITABLE);
        watched.is_ok() && poll.poll(events, Some(Duration::ZERO)).is_ok() && !events.is_empty()
    }
}

fn write(level: Level, target: &str, text: Arguments<'_>) {
    let now = UNIX_EPOCH + Duration::from_millis(read_clock().unix_ms);
    let time = humantime::format_rfc3339_millis(now);
    let mut line = format!("{level:<5} [{target}] {time} {text}").into_bytes();
    line.truncate(LINE_BYTES_MAX - 1);
    line.push(b'\n');
    // On a full disk, or once the reader has gone, the line is lost, and nothing else.
    let _ = stderr().write_all(&line);
}
