//! What the kernel reports about running processes, CPU time and memory, and where they run.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The unit of times in `/proc/PID/stat`, which Linux shows in hundredths of a second on all its platforms.
const TICK: Duration = Duration::from_millis(10);

/// Places of fields in `/proc/PID/stat` after the name in parentheses (proc(5)).
const PARENT: usize = 1;
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;

/// A process and all its descendants.
pub fn family(root: u32) -> Vec<u32> {
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|process| Some((process, stat(process)?.get(PARENT).copied()? as u32)))
        .collect();
    let mut family = vec![root];
    let mut place = 0;
    while let Some(parent) = family.get(place).copied() {
        let children = all.iter().filter(|(_, its)| *its == parent);
        family.extend(children.map(|(process, _)| *process));
        place += 1;
    }
    family
}

/// User and system time of these processes so far.
pub fn cpu_time(processes: &[u32]) -> Duration {
    processes
        .iter()
        .map(|process| scheduled_time(*process).unwrap_or_else(|| tick_time(*process)))
        .sum()
}

/// To the nanosecond, where the kernel keeps count for each thread.
fn scheduled_time(process: u32) -> Option<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task")).ok()? {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += text.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanoseconds))
}

fn tick_time(process: u32) -> Duration {
    let fields = stat(process).unwrap_or_default();
    let ticks: u64 = [USER_TICKS, SYSTEM_TICKS]
        .iter()
        .filter_map(|place| fields.get(*place))
        .sum();
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// The numbers after the name; anything that is not a number counts as 0.
fn stat(process: u32) -> Option<Vec<u64>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(
        rest.split_whitespace()
            .map(|field| field.parse().unwrap_or(0))
            .collect(),
    )
}

/// How long the machine's processors have been busy so far, added up.
pub fn machine_time() -> Duration {
    const IDLE: [usize; 2] = [3, 4]; // idle and iowait; the fields after the first eight are included in earlier ones
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields
        .skip(1)
        .take(8)
        .enumerate()
        .filter(|(place, _)| !IDLE.contains(place))
        .filter_map(|(_, field)| field.parse::<u64>().ok())
        .sum();
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// The CPU time of this program so far, including that of its children that have ended.
pub fn own_time() -> Duration {
    const OWN: std::ops::RangeInclusive<usize> = USER_TICKS..=USER_TICKS + 3;
    let fields = stat(std::process::id()).unwrap_or_default();
    let ticks: u64 = fields.get(OWN).unwrap_or_default().iter().sum();
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// Resident memory of these processes. Memory that two of them share counts twice.
pub fn resident_bytes(processes: &[u32]) -> u64 {
    processes
        .iter()
        .filter_map(|process| {
            let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
            Some(kib * 1024)
        })
        .sum()
}

/// How many files these processes have open.
pub fn open_files(processes: &[u32]) -> usize {
    processes
        .iter()
        .filter_map(|process| fs::read_dir(format!("/proc/{process}/fd")).ok())
        .map(Iterator::count)
        .sum()
}

/// How many files this process may have open.
pub fn open_files_max() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(1024)
}

/// Leaves the first of this program's processors to the entries and moves this program, which has only one thread yet,
/// to the others: otherwise figures depend on the scheduler's placement. None without a second processor or taskset.
pub fn part_processors() -> Option<usize> {
    let (entries, own) = allowed_processors().split_first().map(|(first, rest)| {
        let rest: Vec<String> = rest.iter().map(usize::to_string).collect();
        (*first, rest.join(","))
    })?;
    let moved = !own.is_empty() && move_to(std::process::id(), &own);
    moved.then_some(entries)
}

/// Moves a process with all its threads to these processors; returns whether that succeeded.
pub fn move_to(process: u32, processors: &str) -> bool {
    let status = Command::new("taskset")
        .args(["-a", "-c", "-p", processors, &process.to_string()])
        .stdout(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn allowed_processors() -> Vec<usize> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let ranges = list.unwrap_or_default().trim().split(',');
    ranges
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(first.parse().ok()?..=last.parse().ok()?)
        })
        .flatten()
        .collect()
}
