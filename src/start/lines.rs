//! The log, a line on standard error for each record, and the banner on standard output. Neither waits for a reader.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

use log::{Level, LevelFilter, Log, Metadata, Record};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use simple_logger::SimpleLogger;

use crate::server::read_clock;

/// How much of a record is written: with its level and target it stays within PIPE_BUF (4096 bytes), which a pipe with
/// any room at all takes at once. A longer line might wait for its reader.
const TEXT_BYTES_MAX: usize = 3800;

/// The logger. Its lock is only tried, never waited for: the loop has one thread.
pub(super) struct Lines(Mutex<Outlet>);

struct Outlet {
    logger: SimpleLogger,
    stream: Stream,
    /// How many lines have found no room since one was last written.
    dropped: usize,
}

/// Standard error or standard output, with what is known about its room.
struct Stream {
    descriptor: RawFd,
    /// If it is a terminal: that terminal, opened for non-blocking writes.
    terminal: Option<File>,
    /// The part of what was last written that the terminal has had no room for yet.
    rest: Vec<u8>,
    /// Tells whether there is room; none where a write never waits, as with a file.
    watch: Option<(Poll, Events)>,
}

/// Makes panics go to the log, which never waits, as one line that ends before anything quoted: that may be a secret.
pub(super) fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref().copied());
        let text = text.unwrap_or_default();
        let quote = text.find(['`', '"', '\n']).unwrap_or(text.len());
        let place = panic.location().map(ToString::to_string);
        let (place, text) = (place.unwrap_or_default(), text[..quote].trim_end());
        log::error!("panicked at {place}: {text}");
    }));
}

/// Prints the banner, in pieces that a pipe with any room takes at once. What finds no room is dropped.
pub(super) fn print(banner: &str) {
    let stdout = io::stdout();
    let mut stream = Stream::of(&stdout);
    for piece in banner.as_bytes().chunks(libc::PIPE_BUF) {
        if !stream.has_room() {
            log::warn!("standard output is full: the rest of the start's lines was dropped");
            return;
        }
        stream.write(piece, || {
            // Standard output may have no reader.
            let mut stdout = stdout.lock();
            let _ = stdout.write_all(piece).and_then(|()| stdout.flush());
        });
    }
}

impl Lines {
    pub(super) fn new() -> Lines {
        Lines(Mutex::new(Outlet {
            logger: SimpleLogger::new().with_level(LevelFilter::Trace),
            stream: Stream::of(&io::stderr()),
            dropped: 0,
        }))
    }
}

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // At the trace level mio logs its own work, too. What it does here to write a line would produce another line:
        // the lock is then taken, and nothing is written.
        if let Ok(mut outlet) = self.0.try_lock() {
            outlet.put(record);
        }
    }

    fn flush(&self) {}
}

impl Outlet {
    fn put(&mut self, record: &Record<'_>) {
        if self.dropped > 0 && self.stream.has_room() {
            let dropped = std::mem::take(&mut self.dropped);
            let text = format_args!("{dropped} lines of the log were dropped: nobody read it");
            let mut told = Record::builder();
            told.level(Level::Warn).target(module_path!());
            self.write(&told.args(text).build());
        }
        match self.stream.has_room() {
            true => self.write(record),
            false => self.dropped += 1,
        }
    }

    /// Writes a line with its time in UTC: simple_logger's own timestamps would double the crates that it pulls in. It
    /// panics if nothing can be written, on a full disk or once the reader has gone: only that line is lost.
    fn write(&mut self, record: &Record<'_>) {
        let now = UNIX_EPOCH + Duration::from_millis(read_clock().unix_ms);
        let time = humantime::format_rfc3339_millis(now);
        let mut text = format!("{time} {}", record.args());
        while text.len() > TEXT_BYTES_MAX {
            text.pop();
        }
        let (level, target) = (record.level(), record.target());
        let line = format!("{level:<5} [{target}] {text}\n");
        let print = || {
            let mut stamped = Record::builder();
            stamped.metadata(record.metadata().clone());
            self.logger
                .log(&stamped.args(format_args!("{text}")).build());
        };
        self.stream.write(line.as_bytes(), || {
            let _ = catch_unwind(AssertUnwindSafe(print));
        });
    }
}

impl Stream {
    /// A terminal is reopened so that writes do not block: it polls as writable with room for a few bytes, and a longer
    /// line would wait for its reader. Other programs that write there are not affected.
    fn of(standard: &(impl IsTerminal + AsRawFd)) -> Stream {
        let descriptor = standard.as_raw_fd();
        let watch = Poll::new().ok().filter(|poll| {
            let mut source = SourceFd(&descriptor);
            let registry = poll.registry();
            let watched = registry.register(&mut source, Token(0), Interest::WRITABLE);
            watched.is_ok()
        });
        let is_terminal = standard.is_terminal();
        Stream {
            descriptor,
            terminal: is_terminal.then(|| reopen(descriptor)).flatten(),
            rest: Vec::new(),
            watch: watch.map(|poll| (poll, Events::with_capacity(1))),
        }
    }

    /// Writes `bytes`, for which there is room; `print` does so where there is no terminal.
    fn write(&mut self, bytes: &[u8], print: impl FnOnce()) {
        match self.terminal {
            None => print(),
            Some(_) => {
                self.rest = bytes.to_vec();
                self.write_rest();
            }
        }
    }

    /// A terminal that is gone accepts nothing any more: such a line is lost, too.
    fn write_rest(&mut self) {
        let Some(terminal) = &mut self.terminal else {
            return;
        };
        while !self.rest.is_empty() {
            match terminal.write(&self.rest) {
                Ok(written) => drop(self.rest.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.rest.clear(),
            }
        }
    }

    /// Whether a line can be written without waiting.
    fn has_room(&mut self) -> bool {
        if self.terminal.is_some() {
            self.write_rest();
            return self.rest.is_empty();
        }
        let Some((poll, events)) = &mut self.watch else {
            return true;
        };
        // Registering again makes the poll report whether there is room now, and not only when that changes.
        let registry = poll.registry();
        let mut source = SourceFd(&self.descriptor);
        let watched = registry.reregister(&mut source, Token(0), Interest::WRITABLE);
        watched.is_ok() && poll.poll(events, Some(Duration::ZERO)).is_ok() && !events.is_empty()
    }
}

fn reopen(descriptor: RawFd) -> Option<File> {
    let mut options = OpenOptions::new();
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let path = format!("/proc/self/fd/{descriptor}");
    options.write(true).open(path).ok()
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::io::Read;
    use std::process::Command;

    use super::*;

    const IN_CHILD: &str = "LINES_OF_A_PANIC";

    #[test]
    fn a_terminal_that_nobody_reads_is_not_waited_for() {
        let (mut reader, writer) = io::pipe().expect("there are descriptors");
        let mut outlet = Outlet {
            logger: SimpleLogger::new(),
            stream: Stream {
                descriptor: writer.as_raw_fd(),
                terminal: reopen(writer.as_raw_fd()),
                rest: Vec::new(),
                watch: None,
            },
            dropped: 0,
        };
        assert!(outlet.stream.terminal.is_some());
        drop(writer);
        let text = "x".repeat(3000);
        let put = |outlet: &mut Outlet, text: &str| {
            let mut record = Record::builder();
            outlet.put(&record.target("t").args(format_args!("{text}")).build());
        };
        let mut written = 0;
        while outlet.dropped < 3 {
            put(&mut outlet, &text);
            written += 1;
        }
        // A line that finds no room is kept in memory, and is written before what follows once there is room.
        assert!(!outlet.stream.rest.is_empty());
        let mut read = vec![0; 8192];
        reader.read_exact(&mut read).expect("there is as much");
        put(&mut outlet, "last");
        outlet.stream.terminal = None;
        reader.read_to_end(&mut read).expect("it ends");
        let read = String::from_utf8(read).expect("it is text");
        let lines: Vec<&str> = read.lines().collect();
        let [first @ .., dropped, last] = &lines[..] else {
            panic!("{} lines", lines.len());
        };
        assert_eq!(first.len(), written - 3);
        assert!(first.iter().all(|line| line.ends_with(&text)));
        assert!(dropped.starts_with("WARN  [") && dropped.contains(" 3 lines of the log"));
        assert!(last.starts_with("INFO  [t] 2") && last.ends_with(" last"));
    }

    /// The panic hook and the logger are process-wide, so a child process panics.
    #[test]
    fn a_panic_is_a_line_of_the_log_without_what_it_quotes() {
        if env::var_os(IN_CHILD).is_some() {
            log::set_boxed_logger(Box::new(Lines::new())).expect("there is none yet");
            log::set_max_level(LevelFilter::Error);
            log_panics();
            let secret = format!("{} of `sk-secret-key`\nsk-secret-key", "out of bounds");
            let caught = catch_unwind(|| panic!("{secret}"));
            assert!(caught.is_err());
            panic!("second: {secret:?}");
        }
        let output = Command::new(env::current_exe().expect("it is known"))
            .args(["--exact", "--nocapture"])
            .arg("start::lines::tests::a_panic_is_a_line_of_the_log_without_what_it_quotes")
            .env(IN_CHILD, "1")
            .output()
            .expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        let lines: Vec<&str> = errors.lines().collect();
        assert_eq!(lines.len(), 2, "{errors}");
        for (line, want) in lines.iter().zip([": out of bounds of", ": second:"]) {
            assert!(
                line.starts_with("ERROR [ai_api_proxy::start::lines] 2"),
                "{line}"
            );
            assert!(line.contains(" panicked at src/start/lines.rs:"), "{line}");
            assert!(line.ends_with(want), "{line}");
        }
    }
}
