//! The figures of all rounds, and the table that is printed from them.

use std::fmt::Write;

use super::entry::Entry;

/// The number of idle clients beside which some figures are measured; their labels repeat it.
pub const CROWD: usize = 9000;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    RequestsPerSecond,
    RequestCpu,
    NewConnections,
    LatencyMedian,
    LatencyHigh,
    EventCpu,
    RequestCpuBesideCrowd,
    EventCpuBesideCrowd,
    PictureCpu,
    DownloadCpu,
    UploadCpu,
    StreamMemory,
    IdleMemory,
    Start,
}

/// Samples of the figures of some entries.
pub struct Sheet {
    entries: Vec<Entry>,
    samples: Vec<(Figure, Entry, f64)>,
}

const ALL: [Figure; 14] = [
    Figure::RequestsPerSecond,
    Figure::RequestCpu,
    Figure::NewConnections,
    Figure::LatencyMedian,
    Figure::LatencyHigh,
    Figure::EventCpu,
    Figure::RequestCpuBesideCrowd,
    Figure::EventCpuBesideCrowd,
    Figure::PictureCpu,
    Figure::DownloadCpu,
    Figure::UploadCpu,
    Figure::StreamMemory,
    Figure::IdleMemory,
    Figure::Start,
];

impl Figure {
    fn label(self) -> &'static str {
        match self {
            Figure::RequestsPerSecond => "requests/s, 64 connections (more is better)",
            Figure::RequestCpu => "CPU per request, 64 connections (us)",
            Figure::NewConnections => "new connections to the platform, per 1000",
            Figure::LatencyMedian => "latency p50, 1 connection (us)",
            Figure::LatencyHigh => "latency p99, 1 connection (us)",
            Figure::EventCpu => "CPU per event, 200 streams (us)",
            Figure::RequestCpuBesideCrowd => "CPU per request beside 9000 clients (us)",
            Figure::EventCpuBesideCrowd => "CPU per event beside 9000 clients (us)",
            Figure::PictureCpu => "CPU per 512 KiB up, 8 connections (us)",
            Figure::DownloadCpu => "CPU per 10 MiB down (ms)",
            Figure::UploadCpu => "CPU per 10 MiB up (ms)",
            Figure::StreamMemory => "memory per idle stream (KiB)",
            Figure::IdleMemory => "memory after the first request (MiB)",
            Figure::Start => "start to the first 200 (ms)",
        }
    }
}

impl Sheet {
    pub fn new(entries: Vec<Entry>) -> Sheet {
        Sheet {
            entries,
            samples: Vec::new(),
        }
    }

    pub fn note(&mut self, figure: Figure, entry: Entry, value: f64) {
        if value.is_finite() {
            self.samples.push((figure, entry, value));
        }
    }

    /// All samples, in the order of the rounds.
    fn values(&self, figure: Figure, entry: Entry) -> Vec<f64> {
        self.samples
            .iter()
            .filter(|sample| (sample.0, sample.1) == (figure, entry))
            .map(|sample| sample.2)
            .collect()
    }

    /// The project's figure divided by a rival's. Each round is compared with itself, since other work on the machine
    /// varies more between rounds than within one.
    fn share(&self, figure: Figure, rival: Entry) -> Option<f64> {
        let own = self.values(figure, Entry::Project);
        let shares = own.into_iter().zip(self.values(figure, rival));
        median(shares.map(|(own, rivals)| own / rivals).collect()).filter(|share| share.is_finite())
    }

    /// One line for each figure: each entry's value, then the project's figure divided by each rival's.
    pub fn render(&self, title: &str) -> String {
        let rivals: Vec<Entry> = self
            .entries
            .iter()
            .copied()
            .filter(|entry| matches!(entry, Entry::Haproxy | Entry::Nginx))
            .collect();
        let mut text = format!("| {title:<44}|");
        for entry in &self.entries {
            let _ = write!(text, " {:>12} |", entry.name());
        }
        for rival in &rivals {
            let _ = write!(text, " {:>10} |", format!("/ {}", rival.name()));
        }
        let _ = write!(text, "\n|{}|", "-".repeat(45));
        text.push_str(&format!("{}:|", "-".repeat(13)).repeat(self.entries.len()));
        text.push_str(&format!("{}:|", "-".repeat(11)).repeat(rivals.len()));
        text.push('\n');
        for figure in ALL {
            let _ = write!(text, "| {:<44}|", figure.label());
            for entry in &self.entries {
                let value = median(self.values(figure, *entry));
                let _ = write!(text, " {:>12} |", shown(value));
            }
            for rival in &rivals {
                let share = self.share(figure, *rival);
                let share = share.map_or("-".to_string(), |share| format!("{share:.2}"));
                let _ = write!(text, " {share:>10} |");
            }
            text.push('\n');
        }
        text
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// Three significant digits; larger numbers are rounded to whole ones.
fn shown(value: Option<f64>) -> String {
    match value {
        None => "-".to_string(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}
