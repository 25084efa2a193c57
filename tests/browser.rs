//! The dashboard in a real Chromium: what a person sees, and what the browser's console reports. Screenshots of the
//! states are written to the target folder, for inspection.

#[path = "browser/chrome.rs"]
mod chrome;
#[path = "browser/platform.rs"]
mod platform;
#[path = "browser/prompt.rs"]
mod prompt;
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrome::Chrome;
use platform::Platform;
use serde_json::{Value, json};
use support::platform::{Next, Platform as Scripted};
use support::proxy::{CLIENT_KEY, Proxy, ROOT_KEY};

/// For anything without a promised time; a busy machine may need it.
const SOON: Duration = Duration::from_secs(15);
/// What the dashboard promises after a change.
const CHANGE: Duration = Duration::from_secs(2);
/// The first 12 hex digits of the SHA-256 of demo-key-1, demo-key-2 and demo-key-revoked.
const DEMO_KEY_IDS: [&str; 3] = ["0b2c109e25ac", "fb26de5bd8d2", "80baf5af7cf8"];
const FOCUSED: &str = "document.activeElement.id";
const HOSTILE_NAME: &str = "<img src=x onerror=\"window.broken=1\">";

#[test]
fn shows_the_demo_keys_and_streams_a_prompt() {
    let proxy = Proxy::start(&demo());
    let mut chrome = Chrome::open();
    chrome.look(1280, 1000, "light");
    chrome.visit(&proxy.url("/dashboard"));
    chrome.wait_for(&headline("1 of 3 keys is rejected"), SOON);
    for id in DEMO_KEY_IDS {
        chrome.wait_for(
            &format!("document.querySelector('#platforms tbody').innerText.includes('{id}')"),
            SOON,
        );
    }
    let rejected = "document.querySelector('#platforms tbody tr[data-level=bad]').innerText";
    let rejected = chrome.value(rejected).to_string();
    assert!(
        rejected.contains(DEMO_KEY_IDS[2]) && rejected.contains("Unhealthy"),
        "{rejected}"
    );
    assert!(
        chrome
            .value("document.querySelector('#reasons').innerText")
            .to_string()
            .contains("401")
    );

    chrome.value("document.getElementById('check').click()");
    chrome.wait_for(
        "document.getElementById('check-result').innerText.includes('2 of 3 keys healthy')",
        SOON,
    );

    chrome.value(&format!(
        "document.getElementById('prompt-key').value = '{CLIENT_KEY}';
         window.lengths = new Set();
         new MutationObserver(() => lengths.add(document.getElementById('prompt-answer').textContent.length))
             .observe(document.getElementById('prompt-answer'), {{ childList: true }});
         document.getElementById('prompt-send').click()"
    ));
    chrome.wait_for(
        "document.getElementById('prompt-facts').innerText.startsWith('Finished')",
        SOON,
    );
    let pieces = chrome
        .value("lengths.size")
        .as_u64()
        .expect("a size is a number");
    assert!(pieces > 3, "the answer came in {pieces} pieces");
    chrome.wait_for(
        "document.querySelector('#recent tbody').innerText.includes('web app')",
        SOON,
    );

    chrome.screenshot(&picture("light"));
    chrome.look(1280, 1000, "dark");
    chrome.screenshot(&picture("dark"));
    chrome.look(390, 844, "light");
    chrome.wait_for("document.documentElement.scrollWidth <= 390", SOON);
    chrome.screenshot(&picture("phone"));

    // A page that is opened later shows this, too, as far as the last requests tell.
    chrome.visit(&proxy.url("/dashboard"));
    chrome.wait_for(
        "/highest (?!0\\.$)/.test(document.querySelector('#plots .plot').getAttribute('aria-label'))",
        SOON,
    );
    assert_eq!(chrome.problems(), Vec::<String>::new());
}

#[test]
fn colours_that_tell_something_stay_where_colours_are_forced() {
    let proxy = Proxy::start(&demo());
    let mut chrome = dashboard(&proxy);
    chrome.wait_for(&rows_shown(3), SOON);
    let forced = json!({"features": [{"name": "forced-colors", "value": "active"}]});
    chrome.call("Emulation.setEmulatedMedia", forced);
    let colours = "new Set([
        ...[...document.querySelectorAll('.legend')].map((legend) => getComputedStyle(legend, '::before')),
        ...[...document.querySelectorAll('.meter, .meter > span')].map((part) => getComputedStyle(part)),
    ].map((style) => style.backgroundColor)).size";
    // Three kinds of errors, the accent, and the empty part of a meter.
    assert_eq!(chrome.value(colours), json!(5));
}

#[test]
fn folds_what_is_well_and_leads_to_what_is_not() {
    let platform = Platform::start();
    platform.revoke("key-of-number-4");
    let entries: Vec<Value> = (0..6)
        .map(|number| {
            json!({
                "name": format!("p{number}"), "base_url": platform.base_url(), "api_path": "/v1",
                "keys": [format!("key-of-number-{number}"), format!("other-key-of-number-{number}")],
            })
        })
        .collect();
    let proxy = Proxy::start(&json!(entries));
    let mut chrome = Chrome::open();
    chrome.look(1280, 1000, "light");
    chrome.visit(&proxy.url("/dashboard"));
    chrome.wait_for(&headline("1 of 12 keys is rejected"), SOON);
    chrome.wait_for(&rows_shown(2), SOON);
    assert_eq!(
        chrome.value("document.querySelector('#reasons a').getAttribute('href')"),
        json!("#platform-p4")
    );
    let folded = "document.querySelector('[aria-labelledby=platform-p1] button')";
    assert_eq!(
        chrome.value(&format!("{folded}.innerText")),
        json!("Show 2 keys")
    );
    chrome.value(&format!("{folded}.click()"));
    chrome.wait_for(&rows_shown(4), CHANGE);
    assert_eq!(
        chrome.value(&format!("{folded}.innerText")),
        json!("Show fewer keys")
    );
    chrome.value(&format!("{folded}.click()"));
    chrome.wait_for(&rows_shown(2), CHANGE);
    assert_eq!(chrome.problems(), Vec::<String>::new());
}

#[test]
fn shows_trouble_at_once_and_foreign_names_as_text() {
    let platform = Platform::start();
    let proxy = Proxy::start(&json!([{
        "name": "odd", "display_name": HOSTILE_NAME, "base_url": platform.base_url(), "api_path": "/v1",
        "keys": ["odd-key-number-one", "odd-key-number-two"],
    }]));
    let mut chrome = Chrome::open();
    chrome.look(1280, 1000, "light");
    chrome.visit(&proxy.url("/dashboard"));
    chrome.wait_for(&headline("All 2 keys are usable"), SOON);

    platform.revoke("odd-key-number-one");
    // The keys take turns, so the revoked one is among two requests; both are answered, by the other key.
    assert_eq!(
        [proxy.ask("/odd/v1/models"), proxy.ask("/odd/v1/models")],
        [200, 200]
    );
    chrome.wait_for(&headline("1 of 2 keys is rejected"), CHANGE);

    platform.revoke("odd-key-number-two");
    assert!(proxy.ask("/odd/v1/models") >= 400);
    chrome.wait_for(
        &headline(&format!(
            "{HOSTILE_NAME} has no usable key, 2 of 2 keys are rejected"
        )),
        CHANGE,
    );

    proxy.write("key.json", "[{]");
    chrome.wait_for("!document.getElementById('config-error').hidden", SOON);
    assert!(
        chrome
            .value("document.getElementById('config-error').innerText")
            .to_string()
            .contains("key.json")
    );
    chrome.screenshot(&picture("trouble"));

    let shown = chrome.value("document.querySelector('#platforms h3').textContent");
    assert_eq!(shown, json!(HOSTILE_NAME));
    assert_eq!(
        chrome.value("document.querySelectorAll('main img').length"),
        json!(0)
    );
    assert_eq!(chrome.value("typeof window.broken"), json!("undefined"));
    assert_eq!(chrome.problems(), Vec::<String>::new());
}

#[test]
fn a_platform_that_nobody_reaches_is_not_called_healthy() {
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let nobody = format!("http://{}", nobody.expect("a port is free"));
    let proxy = Proxy::start(
        &json!([{"name": "gone", "display_name": "פלטפורמה", "base_url": nobody, "keys": ["short-key-6"]}]),
    );
    let mut chrome = dashboard(&proxy);
    chrome.wait_for(&headline("1 of 1 key got no good answer"), SOON);
    // A name from right to left takes nothing of the key's id with it, which begins with digits.
    let is_whole = "(([name, key]) => name.getBoundingClientRect().right < key.getBoundingClientRect().left + 1)
        (document.querySelector('#reasons a').children)";
    assert_eq!(chrome.value(is_whole), json!(true));
    let card = chrome.value("document.querySelector('#platforms .platform').innerText");
    let card = card.to_string();
    assert!(card.contains("No good answer: 1 of 1 usable"), "{card}");
    assert!(card.contains("connection refused"), "{card}");
    assert_eq!(chrome.problems(), Vec::<String>::new());
}

#[test]
fn a_check_that_nobody_answers_is_not_called_healthy() {
    let is_gone = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&is_gone);
    let platform = Scripted::serve(move |_, line| {
        if gone.load(Ordering::SeqCst) {
            return Next::Close;
        }
        line.answer("200 OK", "{}");
        Next::Await
    });
    let proxy = Proxy::start(&json!([platform.entry(&["key-number-one"])]));
    let mut chrome = dashboard(&proxy);
    chrome.wait_for(&headline("The one key is usable"), SOON);
    is_gone.store(true, Ordering::SeqCst);
    chrome.value(
        "document.getElementById('check').focus(); document.getElementById('check').click()",
    );
    let result = "document.getElementById('check-result').innerText";
    chrome.wait_for(
        &format!("{result}.includes(': 0 of 1 key healthy, 1 without a good answer.')"),
        CHANGE,
    );
    chrome.wait_for(&headline("1 of 1 key got no good answer"), SOON);
    let card = chrome.value("document.querySelector('#platforms .platform').innerText");
    let card = card.to_string();
    assert!(card.contains("No good answer: 1 of 1 usable"), "{card}");
    assert_eq!(chrome.value(FOCUSED), json!("check"));
    chrome.value("document.querySelector('#check-result button').click()");
    chrome.wait_for("document.getElementById('check-result').hidden", CHANGE);
    assert_eq!(chrome.value(FOCUSED), json!("check"));
    assert_eq!(chrome.problems(), Vec::<String>::new());
}

#[test]
fn folds_many_client_keys_to_those_that_matter() {
    let platform = Platform::start();
    let mut keys: Vec<Value> = (0..30)
        .map(|number| json!({"key": format!("key-of-client-{number}"), "name": format!("client {number}")}))
        .collect();
    keys.push(json!({"key": CLIENT_KEY, "name": "used up", "daily_limit": 1}));
    let proxy = Proxy::with_keys(
        json!({}),
        &json!(keys),
        &json!([{"name": "odd", "base_url": platform.base_url(), "keys": ["odd-key-number-one"]}]),
    );
    assert_eq!(proxy.ask("/odd/models"), 200);
    let mut chrome = dashboard(&proxy);
    let rows = "document.querySelectorAll('#clients tbody tr')";
    chrome.wait_for(&format!("{rows}.length === 20"), SOON);
    chrome.wait_for(&format!("{rows}[0].innerText.startsWith('used up')"), SOON);
    chrome.value("document.querySelector('#clients > button').click()");
    chrome.wait_for(&format!("{rows}.length === 31"), CHANGE);
    assert!(
        chrome
            .value(&format!("{rows}[0].innerText"))
            .to_string()
            .contains("client 0")
    );
    assert_eq!(chrome.problems(), Vec::<String>::new());
}

#[test]
fn no_window_is_too_narrow_and_no_name_too_long() {
    let long = "name-without-end-".repeat(20);
    let platform = Platform::start();
    let proxy = Proxy::with_keys(
        json!({}),
        &json!([{"key": CLIENT_KEY, "name": long, "daily_limit": 1}]),
        &json!([
            {"name": "odd", "display_name": long, "base_url": platform.base_url(), "keys": ["odd-key-number-one"]},
            {"name": "off", "display_name": long, "base_url": platform.base_url(), "enabled": false},
        ]),
    );
    proxy.ask("/odd/models");
    let mut chrome = dashboard(&proxy);
    chrome.wait_for(&headline("The one key is usable"), SOON);
    chrome.wait_for(&rows_shown(1), SOON);
    chrome.wait_for(
        "document.querySelector('#recent tbody').innerText.includes('name-without-end')",
        SOON,
    );
    // A time that is wider than its cell goes on below.
    chrome.look(320, 800, "light");
    let overrun = "import('/static/format.js').then((format) => {
        const cell = document.querySelector('#platforms td.number');
        cell.textContent = format.ago(0, 600_000);
        return cell.scrollWidth - cell.clientWidth;
    })";
    assert_eq!(chrome.value(overrun), json!(0));
    // A reader's font may be twice as large as usual.
    for letters in [16, 32] {
        let sizes = json!({"fontSizes": {"standard": letters, "fixed": letters}});
        chrome.call("Page.setFontSizes", sizes);
        for width in [320, 375, 640, 768, 961, 1024, 1184, 1185, 1280, 1920] {
            chrome.look(width, 800, "light");
            chrome.wait_for(
                &format!("document.documentElement.scrollWidth <= {width}"),
                SOON,
            );
        }
    }
    assert_eq!(
        chrome.value("getComputedStyle(document.documentElement).fontSize"),
        json!("32px")
    );
    assert_eq!(chrome.problems(), Vec::<String>::new());
}

#[test]
fn says_so_where_scripts_are_off() {
    let proxy = Proxy::start(&demo());
    let mut chrome = Chrome::open();
    chrome.call(
        "Emulation.setScriptExecutionDisabled",
        json!({"value": true}),
    );
    chrome.visit(&proxy.url("/dashboard"));
    let text = chrome.value("document.body.innerText").to_string();
    assert!(
        text.contains("needs JavaScript") && !text.contains("Connecting"),
        "{text}"
    );
}

#[test]
fn comes_back_after_a_restart_of_the_proxy() {
    let mut proxy = Proxy::start(&demo());
    let mut chrome = dashboard(&proxy);
    chrome.wait_for(&line("Live"), SOON);
    chrome.value("window.same = true");

    proxy.stop();
    chrome.wait_for(&line("Cut off"), CHANGE);
    chrome.wait_for(
        "document.getElementById('cut').innerText.includes('The figures below are from')",
        CHANGE,
    );

    proxy.start_again();
    chrome.wait_for(&line("Live"), SOON);
    chrome.wait_for("document.getElementById('cut').hidden", CHANGE);
    chrome.wait_for(&headline("1 of 3 keys is rejected"), SOON);
    assert_eq!(
        chrome.value("window.same"),
        json!(true),
        "the page came back without being loaded anew"
    );
}

#[test]
fn figures_that_are_switched_off_come_back_with_the_switch() {
    let mut proxy = Proxy::start(&demo());
    let mut chrome = dashboard(&proxy);
    chrome.wait_for(&headline("1 of 3 keys is rejected"), SOON);

    proxy.configure(json!({"enable_json": false}));
    proxy.signal("HUP");
    chrome.wait_for(&line("Switched off"), SOON);
    assert_eq!(
        chrome.value("document.title"),
        json!("Switched off – ai-api-proxy")
    );
    let shown = chrome.value("document.getElementById('content').innerText");
    let shown = shown.as_str().expect("text");
    assert!(
        shown.contains("enable_json") && !shown.contains("Demo platform"),
        "{shown}"
    );

    proxy.configure(json!({"enable_json": true}));
    proxy.signal("HUP");
    proxy.log().await_lines("new configuration is in force", 2);
    chrome.value("document.getElementById('closed-retry').click()");
    chrome.wait_for(&line("Live"), SOON);
    chrome.wait_for(&headline("1 of 3 keys is rejected"), SOON);
    chrome.wait_for("!document.title.includes('Switched off')", SOON);
}

#[test]
fn asks_for_a_root_key_from_another_machine() {
    let proxy = Proxy::start(&demo());
    let mut chrome = Chrome::open();
    // A loopback peer that names a client behind it is a reverse proxy, and not local.
    let headers = json!({"headers": {"X-Forwarded-For": "203.0.113.9"}});
    chrome.call("Network.setExtraHTTPHeaders", headers);
    chrome.visit(&proxy.url("/dashboard"));
    chrome.wait_for("!document.getElementById('gate').hidden", SOON);
    assert_eq!(chrome.value(FOCUSED), json!("gate-key"));
    assert_eq!(
        chrome.value("document.getElementById('platforms').innerText"),
        json!("")
    );

    for (key, words) in [
        ("not-a-root-key-at-all", "takes a root key"),
        (CLIENT_KEY, "takes a root key"),
        ("root…test", "This is not a key"),
    ] {
        unlock(&mut chrome, key);
        chrome.wait_for(
            &format!("document.getElementById('gate-error').innerText.includes('{words}')"),
            SOON,
        );
    }
    unlock(&mut chrome, ROOT_KEY);
    chrome.wait_for(&headline("1 of 3 keys is rejected"), SOON);
    assert_eq!(
        chrome.value("document.getElementById('gate').hidden"),
        json!(true)
    );
    assert_eq!(
        chrome.value(FOCUSED),
        json!("content"),
        "where the form was"
    );

    assert_eq!(
        chrome.value(
            "[localStorage.length, document.cookie, document.getElementById('gate-key').value]"
        ),
        json!([0, "", ""])
    );
    assert_eq!(
        chrome.value("Object.values(sessionStorage)"),
        json!([ROOT_KEY])
    );
    let addresses = chrome.addresses();
    assert!(
        addresses.len() > 3 && addresses.iter().all(|address| !address.contains("key-")),
        "{addresses:?}"
    );

    chrome.visit(&proxy.url("/dashboard"));
    chrome.wait_for(&headline("1 of 3 keys is rejected"), SOON);
    chrome.load(|chrome| {
        chrome.value("document.getElementById('forget').click()");
    });
    chrome.wait_for("!document.getElementById('gate').hidden", SOON);
}

#[test]
fn asks_for_no_key_where_none_would_do() {
    let proxy = Proxy::with(json!({"enable_key_validation": false}), &demo());
    let mut chrome = Chrome::open();
    let headers = json!({"headers": {"X-Forwarded-For": "203.0.113.9"}});
    chrome.call("Network.setExtraHTTPHeaders", headers);
    chrome.visit(&proxy.url("/dashboard"));
    chrome.wait_for(
        "document.getElementById('gate').innerText.includes('own machine only')",
        SOON,
    );
    chrome.wait_for("document.getElementById('gate-form').hidden", CHANGE);
    chrome.screenshot(&picture("local-only"));
}

#[test]
fn figures_are_neither_a_thousand_times_too_small_nor_all_before_they_are() {
    let proxy = Proxy::start(&demo());
    let mut chrome = dashboard(&proxy);
    for (call, want) in [
        ("bytes(999)", "999 B"),
        ("bytes(1034240)", "1,010 KiB"),
        ("bytes(1047000)", "1,022 KiB"),
        ("bytes(1048576)", "1.00 MiB"),
        ("bytes(1048576 * 99.5)", "99.5 MiB"),
        ("count(99999)", "99,999"),
        ("count(999600)", "1.00M"),
        ("count(9007199254740993)", "9,007T"),
        ("percent(994, 1000)", "99 %"),
        ("percent(999, 1000)", "> 99 %"),
        ("percent(1000, 1000)", "100 %"),
    ] {
        let shown = format!("import('/static/format.js').then((format) => format.{call})");
        assert_eq!(chrome.value(&shown), json!(want), "{call}");
    }
}

#[test]
fn requests_that_look_alike_are_shown_one_by_one() {
    let platform = Platform::start();
    let proxy = Proxy::start(
        &json!([{"name": "odd", "base_url": platform.base_url(), "keys": ["odd-key-number-one"]}]),
    );
    let request = "GET /odd/x HTTP/1.1\r\nHost: p\r\nx-request-id: the-same\r\n\r\n";
    let mut client = proxy.connect();
    client.send(request.repeat(12));
    for _ in 0..12 {
        assert_eq!(client.answer().status, 401);
    }
    let mut chrome = dashboard(&proxy);
    chrome.wait_for(
        "document.querySelectorAll('#recent tbody tr').length === 12",
        SOON,
    );

    // The focus stays in the list, although the request that had it leaves while its facts are read.
    chrome.value(
        "window.read = document.querySelector('#recent tbody button'); read.focus(); read.click()",
    );
    client.send(request.repeat(100));
    for _ in 0..100 {
        assert_eq!(client.answer().status, 401);
    }
    chrome.wait_for(
        "document.getElementById('strip').innerText.includes('112')",
        SOON,
    );
    chrome.value("document.querySelector('#request button').click()");
    chrome.wait_for("!read.isConnected", SOON);
    assert_eq!(
        chrome.value("document.activeElement.closest('.panel').id"),
        json!("recent")
    );
}

#[test]
fn an_answer_that_was_cut_is_no_good_one() {
    let platform = Scripted::serve(|_, line| {
        line.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
        Next::Close
    });
    let proxy = Proxy::start(&json!([platform.entry(&["key-number-one"])]));
    let mut client = proxy.connect();
    client.send(format!(
        "GET /test/x HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\n\r\n"
    ));
    client.head();
    client.rest();
    let mut chrome = dashboard(&proxy);
    chrome.wait_for(
        "document.querySelector('#recent tbody tr[data-level=bad]')?.innerText.includes('200 upstream_error') ?? false",
        SOON,
    );
}

/// A browser with the dashboard of `proxy`.
fn dashboard(proxy: &Proxy) -> Chrome {
    let mut chrome = Chrome::open();
    chrome.visit(&proxy.url("/dashboard"));
    chrome
}

fn unlock(chrome: &mut Chrome, key: &str) {
    chrome.value(&format!(
        "document.getElementById('gate-key').value = '{key}';
         document.getElementById('gate-form').requestSubmit()"
    ));
}

fn demo() -> Value {
    json!([{
        "name": "demo", "display_name": "Demo platform", "base_url": "demo:", "api_path": "/v1",
        "keys": ["demo-key-1", "demo-key-2", "demo-key-revoked"],
    }])
}

/// The condition that the overall status has these words.
fn headline(words: &str) -> String {
    format!(
        "document.getElementById('headline').textContent === {}",
        json!(words)
    )
}

/// The condition that this many keys are shown.
fn rows_shown(count: usize) -> String {
    format!("document.querySelectorAll('#platforms tbody tr').length === {count}")
}

/// The condition that the connection to the proxy is in this state.
fn line(words: &str) -> String {
    format!(
        "document.getElementById('line').textContent === {}",
        json!(words)
    )
}

fn picture(name: &str) -> PathBuf {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    scratch
        .parent()
        .unwrap_or(scratch)
        .join("screenshots")
        .join(format!("dashboard-{name}.png"))
}
