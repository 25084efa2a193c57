//! The leaf functions through which every request or every streamed byte goes, one by one: `cargo bench --bench
//! leaves`, followed by part of a name to run only some of them.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ai_api_proxy::base::now::Now;
use ai_api_proxy::base::secret::Secret;
use ai_api_proxy::config;
use ai_api_proxy::exchange::admission::Shown;
use ai_api_proxy::exchange::forward::{tail_below, write_head};
use ai_api_proxy::figures::histogram::{Histogram, Observed};
use ai_api_proxy::http::Framing;
use ai_api_proxy::http::body::{Decoded, Decoder};
use ai_api_proxy::http::chunked::chunk_head;
use ai_api_proxy::http::event_stream::DataLines;
use ai_api_proxy::http::field::Storage;
use ai_api_proxy::http::model::ModelScan;
use ai_api_proxy::http::request::{self, RequestHead};
use ai_api_proxy::http::response::{self, Asked};
use ai_api_proxy::http::scan::HeadScan;
use ai_api_proxy::http::usage::{Format, UsageScan, UsageSieve};
use ai_api_proxy::policy::access::Clients;
use ai_api_proxy::policy::keyring::{Keyring, Outcome};
use ai_api_proxy::site::{Lasting, Site};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use serde_json::json;

/// As an SDK sends it.
const REQUEST: &[u8] = b"POST /mock/v1/chat/completions HTTP/1.1\r\nHost: proxy.example:5000\r\n\
    Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nAccept: application/json\r\n\
    Content-Type: application/json\r\nUser-Agent: OpenAI/Python 1.99.0\r\nX-Stainless-Lang: python\r\n\
    X-Stainless-Package-Version: 1.99.0\r\nX-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\n\
    X-Stainless-Runtime: CPython\r\nX-Stainless-Runtime-Version: 3.12.3\r\n\
    Authorization: Bearer sk-client-key-of-the-benchmark\r\nX-Stainless-Async: false\r\n\
    x-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\nContent-Length: 172\r\n\r\n";

/// As a platform behind a content delivery network sends it.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
    Content-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\
    access-control-expose-headers: X-Request-ID\r\nopenai-organization: org\r\nopenai-processing-ms: 412\r\n\
    openai-version: 2020-10-01\r\nx-ratelimit-limit-requests: 10000\r\nx-ratelimit-limit-tokens: 2000000\r\n\
    x-ratelimit-remaining-requests: 9999\r\nx-ratelimit-remaining-tokens: 1999950\r\n\
    x-ratelimit-reset-requests: 6ms\r\nx-ratelimit-reset-tokens: 1ms\r\n\
    x-request-id: req_0123456789abcdef0123456789abcdef\r\nstrict-transport-security: max-age=31536000\r\n\
    cf-cache-status: DYNAMIC\r\nServer: cloudflare\r\nalt-svc: h3=\":443\"; ma=86400\r\n\r\n";

const EVENT: &str = concat!(
    r#"data: {"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUv","object":"chat.completion.chunk","created":1767225600,"#,
    r#""model":"mock-1","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}"#,
    "\n\n"
);
const LAST_EVENT: &str = concat!(
    r#"data: {"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUv","object":"chat.completion.chunk","created":1767225600,"#,
    r#""model":"mock-1","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":87,"total_tokens":106}}"#,
    "\n\n"
);
const ANSWER: &str = include_str!("end_to_end/answer.json");
const QUESTION: &str = concat!(
    r#"{"model":"mock-1","temperature":0.7,"messages":[{"role":"user","content":"What does a reverse proxy do? "#,
    r#"Answer in two sentences."}]}"#
);
const CLIENT_KEY: &str = "sk-client-key-of-the-benchmark";
const EVENTS: usize = 64;

/// Calls between two readings of the clock, which is only accurate to tens of nanoseconds.
const CALLS_PER_SAMPLE: u32 = 500;

fn main() {
    divan::Divan::default()
        .sample_size(CALLS_PER_SAMPLE)
        .config_with_args()
        .main();
}

/// A stream of events, each in a chunk of its own.
fn chunked_events() -> Vec<u8> {
    format!("{:x}\r\n{EVENT}\r\n", EVENT.len())
        .repeat(EVENTS)
        .into_bytes()
}

fn now() -> Now {
    Now {
        instant: Instant::now(),
        unix_ms: 1_767_225_600_000,
    }
}

/// One platform and one client key, as the configuration's files give them.
fn site() -> (Site, Clients) {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("leaves");
    std::fs::create_dir_all(&dir).expect("the folder can be made");
    let platforms = json!([{
        "name": "mock", "base_url": "https://platform.example", "api_path": "/v1",
        "keys": ["sk-platform-key-of-the-benchmark"],
    }]);
    let clients = json!([{"key": CLIENT_KEY, "name": "benchmark"}]);
    for (file, content) in [("platform.json", platforms), ("key.json", clients)] {
        std::fs::write(dir.join(file), content.to_string()).expect("it can be written");
    }
    let config = config::load(&dir, &|_| None).expect("the configuration is valid");
    let clients = Clients::new(config.clients.clone());
    let site = Site::compile(
        config,
        &mut Keyring::default(),
        &mut Lasting::default(),
        0,
        now(),
    );
    (site.expect("there is no certificate file"), clients)
}

/// Gives `work` the head of [`REQUEST`].
fn with_head(work: impl FnOnce(&RequestHead<'_, '_>)) {
    let mut storage = Storage::EMPTY;
    work(&request::parse(REQUEST, &mut storage).expect("it is well-formed"));
}

#[divan::bench]
fn request_head_scan(bencher: Bencher) {
    bencher
        .counter(BytesCount::new(REQUEST.len()))
        .bench(|| HeadScan::default().request(black_box(REQUEST)));
}

#[divan::bench]
fn request_head_parse(bencher: Bencher) {
    bencher.counter(BytesCount::new(REQUEST.len())).bench(|| {
        let mut storage = Storage::EMPTY;
        request::parse(black_box(REQUEST), &mut storage).map(|head| head.framing)
    });
}

#[divan::bench]
fn request_client_key(bencher: Bencher) {
    let (site, clients) = site();
    with_head(|head| bencher.bench_local(|| Shown::find(head, Some(&site.routes[0]), &clients)));
}

#[divan::bench]
fn request_head_rewrite(bencher: Bencher) {
    let (site, clients) = site();
    let route = &site.routes[0];
    with_head(|head| {
        let shown = Shown::find(head, Some(route), &clients);
        let mut draft = Vec::with_capacity(REQUEST.len());
        bencher
            .counter(BytesCount::new(REQUEST.len()))
            .bench_local(|| {
                draft.clear();
                let tail = tail_below(black_box(head.target.path), route);
                write_head(&mut draft, head, route, tail, &shown, None);
                black_box(draft.len())
            });
    });
}

#[divan::bench]
fn request_model(bencher: Bencher) {
    bencher.counter(BytesCount::new(QUESTION.len())).bench(|| {
        let mut scan = ModelScan::default();
        scan.scan(black_box(QUESTION.as_bytes()));
        scan
    });
}

#[divan::bench]
fn response_head(bencher: Bencher) {
    bencher.counter(BytesCount::new(RESPONSE.len())).bench(|| {
        let found = HeadScan::default().response(black_box(RESPONSE));
        let mut storage = Storage::EMPTY;
        let head = response::parse(RESPONSE, &mut storage, Asked::Other);
        (found, head.map(|head| head.framing))
    });
}

#[divan::bench]
fn chunked_decode(bencher: Bencher) {
    let input = chunked_events();
    bencher
        .counter(BytesCount::new(input.len()))
        .counter(ItemsCount::new(EVENTS))
        .bench(|| {
            let (mut decoder, mut rest) = (Decoder::new(Framing::Chunked), black_box(&input[..]));
            let mut content = 0;
            while let Ok(Decoded::Data { consumed, data, .. }) = decoder.decode(rest) {
                content += data.len();
                rest = &rest[consumed..];
            }
            content
        });
}

#[divan::bench]
fn chunked_head(bencher: Bencher) {
    bencher.bench(|| chunk_head(black_box(EVENT.len())));
}

#[divan::bench]
fn event_stream_lines(bencher: Bencher) {
    let input = EVENT.repeat(EVENTS);
    bencher
        .counter(BytesCount::new(input.len()))
        .counter(ItemsCount::new(EVENTS))
        .bench(|| {
            let (mut lines, mut rest) = (DataLines::default(), black_box(input.as_bytes()));
            std::iter::from_fn(|| lines.next(&mut rest)).count()
        });
}

#[divan::bench(args = ["event", "last event", "answer"])]
fn usage(bencher: Bencher, what: &str) {
    let (text, format) = match what {
        "event" => (EVENT, Format::EventStream),
        "last event" => (LAST_EVENT, Format::EventStream),
        _ => (ANSWER, Format::Json),
    };
    bencher
        .counter(BytesCount::new(text.len()))
        .with_inputs(|| (UsageSieve::new(format), UsageScan::default()))
        .bench_local_refs(|(sieve, scan)| {
            sieve.pass(black_box(text.as_bytes()), scan);
            scan.tokens()
        });
}

#[divan::bench(args = [1, 10, 100])]
fn keyring_pick_and_settle(bencher: Bencher, keys: usize) {
    let secrets: Vec<Secret> = (0..keys)
        .map(|number| Secret::new(format!("sk-key-number-{number}")))
        .collect();
    let mut keyring = Keyring::default();
    let (platform, keys) = keyring.reload(&[("mock", &secrets)]).remove(0);
    let now = now();
    bencher.bench_local(|| {
        let permit = keyring.pick(platform, &keys, &[], now);
        let permit = permit.expect("every key is usable");
        keyring.learn(&permit, Outcome::Answered, now);
        permit.release();
    });
}

#[divan::bench]
fn histogram_observe(bencher: Bencher) {
    let mut histogram = Histogram::default();
    bencher.bench_local(|| histogram.observe(Observed::new(black_box(Duration::from_millis(734)))));
}
