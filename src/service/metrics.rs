//! The text of `/metrics`: Prometheus' text format 0.0.4. It does not know who asks, nor where its figures come from.
//!
//! Two series may have the same labels, such as those of keys that no longer exist. They are added up, since a series
//! may appear in the text only once.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::time::Duration;

use super::process::Process;
use super::stats::Names;
use super::view::View;
use crate::figures::PlatformFigures;
use crate::figures::counts::{Class, ErrorKind};
use crate::figures::histogram::Histogram;
use crate::policy::keyring::KeyState;
use crate::site::Route;

/// Why another try may follow one: what the client did, and its leaving, are no reasons.
const RETRIED: [ErrorKind; 5] = [
    ErrorKind::Auth,
    ErrorKind::RateLimited,
    ErrorKind::Server,
    ErrorKind::Network,
    ErrorKind::Timeout,
];

/// The value of `Content-Type` for this text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The whole answer.
pub fn render(view: &View<'_>, process: &Process) -> String {
    let mut text = Text::default();
    requests_and_tokens(&mut text, view);
    platforms(&mut text, view);
    keys(&mut text, view);
    whole_proxy(&mut text, view);
    process_figures(&mut text, process);
    text.out
}

/// Counts by the values of their labels.
type Sums<'v> = BTreeMap<[&'v str; 4], u64>;

fn requests_and_tokens(text: &mut Text, view: &View<'_>) {
    let names = Names::of(view);
    let mut requests = Sums::new();
    let mut tokens = Sums::new();
    for (id, series) in view.figures.series() {
        let Some(platform) = names.platforms.get(&id.platform).copied() else {
            continue;
        };
        // Prometheus treats an empty label as absent: no key was picked, or no client was known.
        let key = id
            .key
            .and_then(|key| names.keys.get(&key).copied())
            .unwrap_or_default();
        let client = id.client.as_deref().unwrap_or_default();
        for class in Class::ALL {
            let count = series.requests(class);
            if count > 0 {
                *requests
                    .entry([platform, key, client, class.label()])
                    .or_insert(0) += count;
            }
        }
        for (direction, count) in [("in", series.tokens_in), ("out", series.tokens_out)] {
            let sum = tokens
                .entry([platform, key, client, direction])
                .or_default();
            *sum = sum.saturating_add(count);
        }
    }
    write_requests_and_tokens(text, requests, tokens);
    text.family(
        "aiproxy_refused_total",
        "counter",
        "Requests refused before a try at a platform, by the error's code.",
    );
    for (code, count) in view.figures.refusals() {
        text.sample("aiproxy_refused_total", &[("code", code)], count);
    }
}

fn write_requests_and_tokens(text: &mut Text, requests: Sums<'_>, tokens: Sums<'_>) {
    let of_requests = "Requests that have ended, by how they ended.";
    let of_tokens = "Input (in) and output (out) tokens of requests that have ended, as the platforms name them.";
    for (name, help, last_label, sums) in [
        ("aiproxy_requests_total", of_requests, "class", requests),
        ("aiproxy_tokens_total", of_tokens, "direction", tokens),
    ] {
        text.family(name, "counter", help);
        for ([platform, key, client, last], count) in sums {
            let labels = [
                ("platform", platform),
                ("key_id", key),
                ("client", client),
                (last_label, last),
            ];
            text.sample(name, &labels, count);
        }
    }
}

fn platforms(text: &mut Text, view: &View<'_>) {
    let nothing = PlatformFigures::default();
    let figures = |route: &Route| view.figures.platform(route.id.0).unwrap_or(&nothing);
    let routes = &view.site.routes;
    let rows: Vec<(&str, &PlatformFigures)> = routes
        .iter()
        .map(|route| (&*route.platform.name, figures(route)))
        .collect();
    text.family(
        "aiproxy_retries_total",
        "counter",
        "Tries that failed and were followed by another, by why they failed.",
    );
    for (name, figures) in &rows {
        for reason in RETRIED {
            let labels = [("platform", *name), ("reason", reason.label())];
            text.sample("aiproxy_retries_total", &labels, figures.retries.of(reason));
        }
    }
    text.family(
        "aiproxy_bytes_total",
        "counter",
        "Body bytes of requests that have ended, from clients to platforms (in) and back (out).",
    );
    for (name, figures) in &rows {
        for (direction, count) in [
            ("in", figures.counts.bytes_in),
            ("out", figures.counts.bytes_out),
        ] {
            text.sample(
                "aiproxy_bytes_total",
                &[("platform", name), ("direction", direction)],
                count,
            );
        }
    }
    let help = "From a request's beginning to the first byte of its answer's body.";
    text.family("aiproxy_first_byte_seconds", "histogram", help);
    for (name, figures) in &rows {
        text.histogram(
            "aiproxy_first_byte_seconds",
            ("platform", name),
            &figures.counts.first_byte,
        );
    }
    text.family(
        "aiproxy_request_seconds",
        "histogram",
        "From a request's beginning to the end of its answer.",
    );
    for (name, figures) in &rows {
        text.histogram(
            "aiproxy_request_seconds",
            ("platform", name),
            &figures.total,
        );
    }
    text.family(
        "aiproxy_in_flight",
        "gauge",
        "Requests and probes that a platform is serving.",
    );
    for route in routes {
        let keys = view.keyring.views(route.id, view.now);
        let in_flight: u64 = keys.map(|key| u64::from(key.in_flight)).sum();
        let in_flight = in_flight + u64::from(view.keyring.in_flight_leaving(route.id));
        let labels = [("platform", &*route.platform.name)];
        text.sample("aiproxy_in_flight", &labels, in_flight);
    }
}

fn keys(text: &mut Text, view: &View<'_>) {
    text.family(
        "aiproxy_key_state",
        "gauge",
        "1 for the state that a platform's key is in, 0 for the others.",
    );
    for route in &view.site.routes {
        for key in view.keyring.views(route.id, view.now) {
            for state in KeyState::LABELS {
                let labels = [
                    ("platform", &*route.platform.name),
                    ("key_id", key.label.as_str()),
                    ("state", state),
                ];
                text.sample(
                    "aiproxy_key_state",
                    &labels,
                    u64::from(state == key.state.label()),
                );
            }
        }
    }
}

fn whole_proxy(text: &mut Text, view: &View<'_>) {
    text.family(
        "aiproxy_connections",
        "gauge",
        "Open connections to clients and platforms.",
    );
    let connections = view.connections;
    let sides = [
        ("client", connections.clients),
        ("upstream", connections.upstreams),
        ("idle_upstream", connections.idle_upstreams),
    ];
    for (side, count) in sides {
        text.sample("aiproxy_connections", &[("side", side)], count);
    }
    text.family(
        "aiproxy_retry_memory_bytes",
        "gauge",
        "Request bodies that are kept for a retry.",
    );
    text.sample("aiproxy_retry_memory_bytes", &[], view.retry_memory_bytes);
    text.family(
        "aiproxy_build_info",
        "gauge",
        "1, with what runs as a label.",
    );
    text.sample(
        "aiproxy_build_info",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1,
    );
}

fn process_figures(text: &mut Text, process: &Process) {
    let cpu = process.cpu_seconds;
    text.single(
        "aiproxy_process_cpu_seconds_total",
        "counter",
        "User and system CPU time.",
        cpu,
    );
    let resident = process.resident_memory_bytes;
    text.single(
        "aiproxy_process_resident_memory_bytes",
        "gauge",
        "Resident memory.",
        resident,
    );
    let virtual_memory = process.virtual_memory_bytes;
    text.single(
        "aiproxy_process_virtual_memory_bytes",
        "gauge",
        "Virtual memory.",
        virtual_memory,
    );
    text.single(
        "aiproxy_process_open_fds",
        "gauge",
        "Open file descriptors.",
        process.open_fds,
    );
    text.single(
        "aiproxy_process_max_fds",
        "gauge",
        "Most file descriptors that may be open.",
        process.max_fds,
    );
    let start = process.start_time_unix_seconds;
    text.single(
        "aiproxy_process_start_time_seconds",
        "gauge",
        "Start of the process in Unix seconds.",
        start,
    );
}

#[derive(Default)]
struct Text {
    out: String,
}

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.out.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            self.push(format_args!(
                "{}{label}=\"",
                if place == 0 { '{' } else { ',' }
            ));
            self.push_escaped(text);
            self.out.push('"');
        }
        self.push(format_args!(
            "{} {value}\n",
            if labels.is_empty() { "" } else { "}" }
        ));
    }

    /// A family with one sample and no labels, omitted where its value is not known.
    fn single(&mut self, name: &str, kind: &str, help: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.family(name, kind, help);
            self.sample(name, &[], value);
        }
    }

    fn histogram(&mut self, name: &str, label: (&str, &str), histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        for (bound, count) in histogram.cumulative() {
            self.sample(
                &bucket,
                &[label, ("le", &seconds(bound).to_string())],
                count,
            );
        }
        self.sample(&bucket, &[label, ("le", "+Inf")], histogram.count());
        self.sample(&format!("{name}_sum"), &[label], seconds(histogram.sum()));
        self.sample(&format!("{name}_count"), &[label], histogram.count());
    }

    fn push_escaped(&mut self, text: &str) {
        for char in text.chars() {
            match char {
                '\\' => self.out.push_str("\\\\"),
                '"' => self.out.push_str("\\\""),
                '\n' => self.out.push_str("\\n"),
                plain => self.out.push(plain),
            }
        }
    }

    fn push(&mut self, text: std::fmt::Arguments) {
        self.out
            .write_fmt(text)
            .expect("writing to a String cannot fail");
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e6
}

#[cfg(test)]
mod tests;
