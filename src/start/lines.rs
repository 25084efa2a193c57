//! The log: a line on standard error for each record. It waits for nobody who reads it.

use std::os::fd::RawFd;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

use log::{Level, LevelFilter, Log, Metadata, Record};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use simple_logger::SimpleLogger;

use crate::server::read_clock;

const STDERR: RawFd = 2;

/// How much of a record is written: with its level and target it is no more than a pipe with any room at all takes at once
/// (PIPE_BUF, 4096 bytes). A longer line might wait for its reader.
const TEXT_BYTES_MAX: usize = 3800;

/// Where the lines go. Its lock is never waited for: the loop has one thread.
pub(super) struct Lines(Mutex<Outlet>);

struct Outlet {
    logger: SimpleLogger,
    /// Tells whether there is room; none where nothing ever waits, as with a file.
    watch: Option<(Poll, Events)>,
    /// Lines that have found no room since one was written.
    dropped: usize,
}

/// From now on a panic is told by the log, which waits for nobody, as a line without what it quotes: that may be anything.
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

impl Lines {
    pub(super) fn new() -> Lines {
        let watch = Poll::new().ok().filter(|poll| {
            let mut source = SourceFd(&STDERR);
            let registry = poll.registry();
            let watched = registry.register(&mut source, Token(0), Interest::WRITABLE);
            watched.is_ok()
        });
        Lines(Mutex::new(Outlet {
            logger: SimpleLogger::new().with_level(LevelFilter::Trace),
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
            let mut told = Record::builder();
            told.level(Level::Warn).target(module_path!());
            self.write(&told.args(text).build());
        }
        match self.has_room() {
            true => self.write(record),
            false => self.dropped += 1,
        }
    }

    /// Writes a line with its time in UTC: simple_logger's own times would double the crates that it brings. It panics
    /// where nothing can be written, on a full disk or once the reader has gone: such a line is lost, and nothing else.
    fn write(&self, record: &Record<'_>) {
        let now = UNIX_EPOCH + Duration::from_millis(read_clock().unix_ms);
        let time = humantime::format_rfc3339_millis(now);
        let mut text = format!("{time} {}", record.args());
        while text.len() > TEXT_BYTES_MAX {
            text.pop();
        }
        let print = || {
            let mut stamped = Record::builder();
            stamped.metadata(record.metadata().clone());
            self.logger
                .log(&stamped.args(format_args!("{text}")).build());
        };
        let _ = catch_unwind(AssertUnwindSafe(print));
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

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::Command;

    use super::*;

    const IN_CHILD: &str = "LINES_OF_A_PANIC";

    /// The hook and the log are a whole process's, so that another one panics.
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
