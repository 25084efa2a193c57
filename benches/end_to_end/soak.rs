//! Mixed load for minutes, and what it leaves in memory: a program that serves for months must not grow from it.

use std::io;
use std::time::{Duration, Instant};

use super::entry::{Entry, Running, Surroundings, Way};
use super::load::{Crowd, Tally};
use super::platform::Platform;
use super::{BODY_BYTES, CHAT, CONNECTIONS, STREAMS, check, open_streams, process};

const MINUTES: u64 = 10;

/// Connections that move large bodies.
const LARGE: usize = 4;

/// Connections that read nothing of a large body, before the first minute.
const STALLED: usize = 64;

/// How long each kind of load lasts before the next one comes.
const SPAN: Duration = Duration::from_millis(500);

/// A shorter soak says nothing: pools have taken up to three minutes to fill, and the first half is for that.
const MINUTES_MIN: u64 = 6;

/// How much more the last minute may need than any of the first half, in which pools fill: a few blocks, which the
/// allocator may hold in other places.
const GROWTH_MAX_BYTES: u64 = 256 * 1024;

/// What has been served.
#[derive(Default)]
struct Served {
    requests: u64,
    events: u64,
    /// Clients that left in the middle of an answer.
    gone: u64,
    mebibytes: u64,
}

/// One program under load, with its peak memory in the first half of the minutes and in the current one.
struct Soaked {
    running: Running,
    first_half: u64,
    latest: u64,
}

/// Loads two programs in turn, one for each way to the platform, for this many minutes.
///
/// # Errors
/// An invalid number of minutes, a request that was not answered, or memory that grew.
pub fn run(minutes: Option<&String>) -> io::Result<()> {
    let minutes = match minutes {
        None => MINUTES,
        Some(minutes) => match minutes.parse() {
            Ok(minutes) if minutes >= MINUTES_MIN => minutes,
            Ok(_) | Err(_) => {
                let what = format!(
                    "--soak takes a number of minutes, {MINUTES_MIN} or more, not {minutes}"
                );
                return Err(io::Error::other(what));
            }
        },
    };
    let processor = process::part_processors();
    let platform = Platform::start()?;
    let mut all = Vec::new();
    for way in [Way::Plain, Way::Tls] {
        let around = Surroundings {
            platform,
            way,
            processor,
        };
        all.push(Soaked {
            running: Entry::Project.start(around)?,
            first_half: 0,
            latest: 0,
        });
    }
    let mut served = Served::default();
    println!(
        "| minute | requests | events | clients gone | MiB of bodies | memory, plain (KiB) | memory, TLS (KiB) |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|");
    all.iter().try_for_each(|soaked| fill(&soaked.running))?;
    for minute in 1..=minutes {
        let began = Instant::now();
        all.iter_mut().for_each(|soaked| soaked.latest = 0);
        while began.elapsed() < Duration::from_secs(60) {
            for soaked in &mut all {
                load(&soaked.running, &mut served)?;
                let now = process::resident_bytes(&soaked.running.processes);
                soaked.latest = soaked.latest.max(now);
            }
        }
        if minute <= minutes / 2 {
            all.iter_mut()
                .for_each(|soaked| soaked.first_half = soaked.first_half.max(soaked.latest));
        }
        let kib: Vec<String> = all
            .iter()
            .map(|soaked| (soaked.latest / 1024).to_string())
            .collect();
        println!(
            "| {minute} | {} | {} | {} | {} | {} |",
            served.requests,
            served.events,
            served.gone,
            served.mebibytes,
            kib.join(" | ")
        );
    }
    match all
        .iter()
        .find(|soaked| soaked.latest > soaked.first_half + GROWTH_MAX_BYTES)
    {
        None => Ok(()),
        Some(soaked) => Err(io::Error::other(format!(
            "memory grew from {} to {} KiB",
            soaked.first_half / 1024,
            soaked.latest / 1024
        ))),
    }
}

/// Has the program lend more large buffers at once than any load of the soak needs. How many of those meet is a matter of
/// chance, and once in some minutes one more than ever before: that would look like growth.
fn fill(running: &Running) -> io::Result<()> {
    let download = running.request("GET", &format!("/bytes/{BODY_BYTES}"), &[]);
    let mut stalled = Crowd::connect(running.port, &download, STALLED)?;
    stalled.ask()?;
    std::thread::sleep(SPAN);
    Ok(())
}

/// Each kind of load once. Clients that are in the middle of something at the end of its span leave.
fn load(running: &Running, served: &mut Served) -> io::Result<()> {
    let chat = running.request("POST", "/chat/completions", CHAT);
    served.add(running, &chat, CONNECTIONS)?;
    let stream = running.request("POST", "/events/20/2000", CHAT);
    served.add(running, &stream, STREAMS)?;
    let download = running.request("GET", &format!("/bytes/{BODY_BYTES}"), &[]);
    served.add(running, &download, LARGE)?;
    let upload = running.request("POST", "/upload", &vec![b'x'; BODY_BYTES]);
    served.add(running, &upload, LARGE)?;
    let mut endless = open_streams(running, "/events/1000000/20000", STREAMS)?;
    served.note(running, &endless.run(SPAN)?, STREAMS)
}

impl Served {
    fn add(&mut self, running: &Running, request: &[u8], connections: usize) -> io::Result<()> {
        let mut crowd = Crowd::connect(running.port, request, connections)?;
        let tally = crowd.run(SPAN)?;
        self.note(running, &tally, connections)
    }

    fn note(&mut self, running: &Running, tally: &Tally, connections: usize) -> io::Result<()> {
        check(running, tally)?;
        self.requests += tally.requests;
        self.events += tally.events();
        // Each connection begins its next request as soon as it has its answer, and so leaves in the middle of one.
        self.gone += connections as u64;
        self.mebibytes += (tally.content_bytes + tally.sent_bytes) / (1024 * 1024);
        Ok(())
    }
}
