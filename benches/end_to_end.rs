//! The whole program under load, next to HAProxy and nginx where they are installed: `cargo bench --bench end_to_end`,
//! with `-- --quick` for a first look and `-- --soak MINUTES` for what a long mixed load leaves in memory. The platform
//! and the load generator are its own, everything stays on loopback, and it ends by itself. Entries take turns in
//! rounds: compare only figures of the same run.

#[path = "end_to_end/entry.rs"]
mod entry;
#[path = "end_to_end/load.rs"]
mod load;
#[path = "end_to_end/platform.rs"]
mod platform;
#[path = "end_to_end/process.rs"]
mod process;
#[path = "end_to_end/soak.rs"]
mod soak;
#[path = "end_to_end/table.rs"]
mod table;
#[path = "end_to_end/wire.rs"]
mod wire;

use std::io;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use entry::{Entry, Running, Surroundings, Way};
use load::{Crowd, Tally};
use platform::Platform;
use table::{CROWD, Figure, Sheet};

/// A request as an SDK sends it.
const CHAT: &[u8] = br#"{"model":"mock-1","temperature":0.7,"messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"What does a reverse proxy do? Answer in two sentences."}]}"#;

const CONNECTIONS: usize = 64;
const STREAMS: usize = 200;
const EVENTS_PER_STREAM_AND_SECOND: u32 = 50;
/// Per connection, on average.
const WARM_UP_REQUESTS: u64 = 4;
const BODY_BYTES: usize = 10 * 1024 * 1024;
/// A prompt with a picture.
const PICTURE_BYTES: usize = 512 * 1024;
const PICTURE_CONNECTIONS: usize = 8;
/// Files that this program needs besides two for each stream: the client's end and the platform's end.
const FILES_BESIDES_STREAMS: usize = 200;
/// The proxy admits half as many clients as it may open files.
const FILES_WANTED: usize = 2 * (CROWD + STREAMS + CONNECTIONS) + FILES_BESIDES_STREAMS;
/// Set for the program when it has been restarted with more files.
const FILES_RAISED: &str = "AI_API_PROXY_BENCH_FILES_RAISED";
/// How long it may take until all streams have begun, or all connections are warm.
const BEGIN_MAX: Duration = Duration::from_secs(10);

/// How much is measured.
struct Plan {
    rounds: usize,
    starts: usize,
    idle_streams: usize,
    /// How long one measurement takes; some take a share of it.
    span: Duration,
}

const FULL: Plan = Plan {
    rounds: 10,
    starts: 7,
    idle_streams: 1000,
    span: Duration::from_millis(450),
};

const QUICK: Plan = Plan {
    rounds: 2,
    starts: 3,
    idle_streams: 400,
    span: Duration::from_millis(250),
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if !has("--bench") {
        println!(
            "nothing is measured here; write: cargo bench --bench end_to_end [-- --quick | -- --soak MINUTES]"
        );
        return ExitCode::SUCCESS;
    }
    raise_files(&arguments);
    let plan = if has("--quick") { QUICK } else { FULL };
    let outcome = match arguments.iter().position(|argument| argument == "--soak") {
        // What cargo adds comes after all other arguments.
        Some(place) => soak::run(arguments.get(place + 1).filter(|next| *next != "--bench")),
        None => measure(&plan),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the benchmark failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Restarts this program in place with more files, for itself and for what it starts; continues if that fails.
fn raise_files(arguments: &[String]) {
    let (false, Ok(program)) = (
        std::env::var_os(FILES_RAISED).is_some(),
        std::env::current_exe(),
    ) else {
        return;
    };
    let script = format!(
        "ulimit -n {FILES_WANTED} 2>/dev/null || ulimit -n \"$(ulimit -H -n)\"; exec \"$0\" \"$@\""
    );
    let error = Command::new("sh")
        .args(["-c", &script])
        .arg(program)
        .args(arguments)
        .env(FILES_RAISED, "1")
        .exec();
    eprintln!("the limit of open files stays as it is: {error}");
}

fn measure(plan: &Plan) -> io::Result<()> {
    let mut entries = vec![Entry::Project];
    for rival in [Entry::Haproxy, Entry::Nginx] {
        match rival.program() {
            Some(_) => entries.push(rival),
            None => println!("{} is not installed: its column is left out", rival.name()),
        }
    }
    let processor = process::part_processors();
    if processor.is_none() {
        println!(
            "no processor for the entries alone (one processor, or no taskset): expect more noise"
        );
    }
    if process::open_files_max() < FILES_WANTED {
        println!(
            "fewer than {FILES_WANTED} open files are allowed: what needs a crowd is left out"
        );
    }
    let (machine, own, began) = (process::machine_time(), process::own_time(), Instant::now());
    let platform = Platform::start()?;
    for (way, title) in [
        (Way::Plain, "HTTP to the platform"),
        (Way::Tls, "TLS to the platform"),
    ] {
        let mut entries = entries.clone();
        if way == Way::Plain {
            entries.push(Entry::Direct);
        }
        let around = Surroundings {
            platform,
            way,
            processor,
        };
        let sheet = measure_all(entries, around, plan)?;
        println!("\n{}", sheet.render(title));
    }
    let machine = process::machine_time().saturating_sub(machine);
    let others = machine.saturating_sub(process::own_time().saturating_sub(own));
    println!(
        "Other work kept {:.1} processors busy meanwhile; the figures are good when that is near 0.",
        others.as_secs_f64() / began.elapsed().as_secs_f64()
    );
    println!(
        "Medians of {} rounds, of values and of shares. Clients speak plain HTTP with every entry; CPU is that of the entry's own processes.",
        plan.rounds
    );
    println!(
        "The last columns show the share that ai-api-proxy has of the other one's figure: below 1 it needs less."
    );
    println!(
        "Requests/s near those of \"direct\" are bounded by the load generator, and a p99 of milliseconds by other work."
    );
    Ok(())
}

fn measure_all(entries: Vec<Entry>, around: Surroundings, plan: &Plan) -> io::Result<Sheet> {
    let mut sheet = Sheet::new(entries.clone());
    let mut all = Vec::new();
    for entry in entries {
        if entry != Entry::Direct {
            for _ in 1..plan.starts {
                note_start(&entry.start(around)?, &mut sheet);
            }
            // It ends here: HAProxy keeps what belongs to a silent stream even after its client has gone.
            measure_memory(&entry.start(around)?, plan, &mut sheet)?;
        }
        let running = entry.start(around)?;
        if entry != Entry::Direct {
            note_start(&running, &mut sheet);
        }
        all.push(running);
    }
    for round in 1..=plan.rounds {
        eprintln!("{:?}: round {round} of {}", around.way, plan.rounds);
        for running in &all {
            measure_round(running, plan, &mut sheet)?;
        }
        for running in all.iter().filter(|running| running.entry == Entry::Project) {
            measure_beside_crowd(running, plan, &mut sheet)?;
        }
    }
    Ok(sheet)
}

fn note_start(running: &Running, sheet: &mut Sheet) {
    let milliseconds = running.start_took.as_secs_f64() * 1e3;
    sheet.note(Figure::Start, running.entry, milliseconds);
}

/// The memory that a program holds after its first request, and for each idle stream.
fn measure_memory(running: &Running, plan: &Plan, sheet: &mut Sheet) -> io::Result<()> {
    let limit = process::open_files_max().saturating_sub(FILES_BESIDES_STREAMS) / 2;
    let count = plan.idle_streams.min(limit);
    let before = process::resident_bytes(&running.processes) as f64;
    let path = format!("/events/2/{}", Duration::from_secs(3600).as_micros());
    let crowd = open_streams(running, &path, count)?;
    let after = process::resident_bytes(&running.processes) as f64;
    drop(crowd);
    sheet.note(Figure::IdleMemory, running.entry, before / 1024.0 / 1024.0);
    let each = (after - before) / 1024.0 / count as f64;
    sheet.note(Figure::StreamMemory, running.entry, each);
    Ok(())
}

/// Streams each of which has delivered its first event.
fn open_streams(running: &Running, path: &str, count: usize) -> io::Result<Crowd> {
    let request = running.request("POST", path, CHAT);
    let mut crowd = Crowd::connect(running.port, &request, count)?;
    let begun = |tally: &Tally| tally.events() >= count as u64;
    let tally = crowd.run_until(BEGIN_MAX, begun)?;
    check(running, &tally)?;
    match begun(&tally) {
        true => Ok(crowd),
        false => Err(io::Error::other(format!(
            "{}: only {} of {count} streams began",
            running.entry.name(),
            tally.events()
        ))),
    }
}

fn measure_round(running: &Running, plan: &Plan, sheet: &mut Sheet) -> io::Result<()> {
    let entry = running.entry;
    let chat = running.request("POST", "/chat/completions", CHAT);

    let (tally, cost) = closed_loop(running, &chat, CONNECTIONS, plan.span)?;
    sheet.note(Figure::RequestsPerSecond, entry, tally.per_second());
    if entry != Entry::Direct {
        let requests = tally.requests as f64;
        sheet.note(Figure::RequestCpu, entry, cost.cpu_seconds * 1e6 / requests);
        sheet.note(
            Figure::NewConnections,
            entry,
            cost.connections * 1e3 / requests,
        );
    }

    let (mut tally, _) = closed_loop(running, &chat, 1, plan.span / 2)?;
    for (figure, share) in [(Figure::LatencyMedian, 0.5), (Figure::LatencyHigh, 0.99)] {
        if let Some(latency) = tally.latency(share) {
            sheet.note(figure, entry, latency.as_secs_f64() * 1e6);
        }
    }
    if entry == Entry::Direct {
        return Ok(());
    }

    sheet.note(Figure::EventCpu, entry, event_cpu(running, plan)?);

    let picture = running.request("POST", "/upload", &vec![b'x'; PICTURE_BYTES]);
    let (tally, cost) = closed_loop(running, &picture, PICTURE_CONNECTIONS, plan.span / 2)?;
    let pictures = tally.sent_bytes as f64 / PICTURE_BYTES as f64;
    sheet.note(Figure::PictureCpu, entry, cost.cpu_seconds * 1e6 / pictures);

    let bodies = |bytes: u64| BODY_BYTES as f64 / bytes as f64;
    let download = running.request("GET", &format!("/bytes/{BODY_BYTES}"), &[]);
    let (tally, cost) = closed_loop(running, &download, 1, plan.span / 2)?;
    sheet.note(
        Figure::DownloadCpu,
        entry,
        cost.cpu_seconds * 1e3 * bodies(tally.content_bytes),
    );

    let upload = running.request("POST", "/upload", &vec![b'x'; BODY_BYTES]);
    let (tally, cost) = closed_loop(running, &upload, 1, plan.span / 2)?;
    sheet.note(
        Figure::UploadCpu,
        entry,
        cost.cpu_seconds * 1e3 * bodies(tally.sent_bytes),
    );
    Ok(())
}

/// The entry's CPU time for one event, in microseconds.
fn event_cpu(running: &Running, plan: &Plan) -> io::Result<f64> {
    let every = 1_000_000 / EVENTS_PER_STREAM_AND_SECOND;
    let mut crowd = open_streams(running, &format!("/events/1000000/{every}"), STREAMS)?;
    let (tally, cost) = watched(running, &mut crowd, plan.span)?;
    Ok(cost.cpu_seconds * 1e6 / tally.events() as f64)
}

/// Requests and events once more, while many idle clients are connected: neither may cost more because of them.
fn measure_beside_crowd(running: &Running, plan: &Plan, sheet: &mut Sheet) -> io::Result<()> {
    if process::open_files_max() < FILES_WANTED {
        return Ok(());
    }
    let connect = |_| TcpStream::connect(("127.0.0.1", running.port));
    let at_rest = (0..CROWD).map(connect).collect::<io::Result<Vec<_>>>()?;
    await_files(running, |files| files >= CROWD)?;
    let chat = running.request("POST", "/chat/completions", CHAT);
    let (tally, cost) = closed_loop(running, &chat, CONNECTIONS, plan.span)?;
    let request_cpu = cost.cpu_seconds * 1e6 / tally.requests as f64;
    sheet.note(Figure::RequestCpuBesideCrowd, running.entry, request_cpu);
    let event_cpu = event_cpu(running, plan)?;
    sheet.note(Figure::EventCpuBesideCrowd, running.entry, event_cpu);
    drop(at_rest);
    // Closing them takes time that must not count for the next measurement.
    await_files(running, |files| files < CROWD / 10)
}

/// Waits until `enough` accepts the number of files that the entry has open.
fn await_files(running: &Running, enough: impl Fn(usize) -> bool) -> io::Result<()> {
    let asked = Instant::now();
    while !enough(process::open_files(&running.processes)) {
        if asked.elapsed() > BEGIN_MAX {
            return Err(io::Error::other("clients neither come nor go"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// What a run cost the entry.
struct Cost {
    cpu_seconds: f64,
    /// Connections made to the platform.
    connections: f64,
}

/// Each connection sends its next request when it has the answer. Before the measurement each has got some answers on
/// average, so that all connections to the platform exist.
fn closed_loop(
    running: &Running,
    request: &[u8],
    connections: usize,
    span: Duration,
) -> io::Result<(Tally, Cost)> {
    let mut crowd = Crowd::connect(running.port, request, connections)?;
    let warm = WARM_UP_REQUESTS * connections as u64;
    crowd.run_until(BEGIN_MAX, |tally| tally.requests >= warm)?;
    watched(running, &mut crowd, span)
}

fn watched(running: &Running, crowd: &mut Crowd, span: Duration) -> io::Result<(Tally, Cost)> {
    let cpu = process::cpu_time(&running.processes);
    let accepted = Platform::accepted();
    let tally = crowd.run(span)?;
    let cpu = process::cpu_time(&running.processes).saturating_sub(cpu);
    check(running, &tally)?;
    let cost = Cost {
        cpu_seconds: cpu.as_secs_f64(),
        connections: (Platform::accepted() - accepted) as f64,
    };
    Ok((tally, cost))
}

fn check(running: &Running, tally: &Tally) -> io::Result<()> {
    match tally.failures {
        0 => Ok(()),
        count => Err(io::Error::other(format!(
            "{}: {count} connections failed",
            running.entry.name()
        ))),
    }
}
