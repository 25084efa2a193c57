//! Exact texts, escapes, and series that must appear only once.

use super::*;
use crate::service::process::tests::TEXTS;
use crate::service::testing::{TEAM, bare, busy, request, view};

/// The lines of `text` that are not histogram buckets, and the buckets of one histogram.
fn split(text: &str) -> (String, Vec<&str>) {
    let (buckets, others): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.contains("_bucket{"));
    let first_byte =
        |line: &&str| line.starts_with("aiproxy_first_byte_seconds_bucket{platform=\"open\"");
    (
        others.join("\n"),
        buckets.into_iter().filter(first_byte).collect(),
    )
}

#[test]
fn the_whole_answer() {
    let text = render(&view(&mut busy()), &Process::read(&TEXTS));
    let (others, buckets) = split(&text);
    assert_eq!(others, include_str!("want.txt").trim_end());
    assert_eq!(buckets.len(), 49);
    assert_eq!(
        buckets[0],
        "aiproxy_first_byte_seconds_bucket{platform=\"open\",le=\"0.001\"} 0"
    );
    assert_eq!(
        buckets[1],
        "aiproxy_first_byte_seconds_bucket{platform=\"open\",le=\"0.0013\"} 1"
    );
    assert_eq!(
        buckets[47],
        "aiproxy_first_byte_seconds_bucket{platform=\"open\",le=\"600\"} 1"
    );
    assert_eq!(
        buckets[48],
        "aiproxy_first_byte_seconds_bucket{platform=\"open\",le=\"+Inf\"} 1"
    );
    assert!(text.ends_with('\n'));
}

#[test]
fn a_series_stands_there_once() {
    let mut core = busy();
    core.figures.finish(crate::figures::Finished {
        client: Some(crate::figures::Client {
            id: 4,
            label: TEAM.into(),
        }),
        status: Some(404),
        tokens_in: Some(u64::MAX),
        ..request()
    });
    let text = render(&view(&mut core), &Process::default());
    let lines = |name: &str| {
        text.lines()
            .filter(|line| line.starts_with(name))
            .map(str::to_string)
            .collect::<Vec<_>>()
    };
    let labels = r#"platform="open",key_id="eeae250357bc",client="team \"a\\b\"\n""#;
    assert_eq!(
        lines("aiproxy_requests_total"),
        [format!(
            "aiproxy_requests_total{{{labels},class=\"4xx\"}} 2"
        )]
    );
    let tokens_in = format!(
        "aiproxy_tokens_total{{{labels},direction=\"in\"}} {}",
        u64::MAX
    );
    assert_eq!(lines("aiproxy_tokens_total")[0], tokens_in);
    assert!(!text.contains("aiproxy_process"));
}

#[test]
fn what_is_not_configured_any_more_is_not_shown() {
    let mut core = busy();
    core.keyring.reload(&[("open", &[]), ("off", &[])]);
    let text = render(&view(&mut core), &Process::default());
    let labels = r#"{platform="open",key_id="",client="team \"a\\b\"\n",class="4xx"}"#;
    assert!(text.contains(&format!("aiproxy_requests_total{labels} 1\n")));
    let text = render(&view(&mut bare(core.figures)), &Process::default());
    assert!(!text.contains("platform="));
    assert!(text.contains("# TYPE aiproxy_requests_total counter\n"));
}
