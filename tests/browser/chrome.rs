//! A headless Chromium, driven over the pipe of its DevTools protocol. It knows nothing of the dashboard.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The browser answers in milliseconds; a busy machine takes seconds to start it.
const ANSWER_SECONDS_MAX: u64 = 30;
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
];

/// One browser with one page, closed when dropped.
pub struct Chrome {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    /// Events of the page in the order in which they came.
    events: Vec<Value>,
    session: String,
    calls: u64,
    profile: PathBuf,
}

impl Chrome {
    /// Starts a browser with an empty page.
    pub fn open() -> Chrome {
        static PROFILES: AtomicU32 = AtomicU32::new(0);
        let number = PROFILES.fetch_add(1, Ordering::Relaxed);
        let profile = std::env::temp_dir().join(format!(
            "ai-api-proxy-browser-{}-{number}",
            std::process::id()
        ));
        // The shell moves the two ends of the pipe to the descriptors 3 and 4, where Chromium looks for them.
        let mut child = Command::new("sh")
            .args([
                "-c",
                "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1",
                "sh",
            ])
            .arg(executable())
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let input = child.stdin.take().expect("stdin is piped");
        let output = child.stdout.take().expect("stdout is piped");
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("Chromium writes JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let session = String::new();
        let mut chrome = Chrome {
            child,
            input,
            messages,
            events: Vec::new(),
            session,
            calls: 0,
            profile,
        };
        chrome.attach();
        chrome
    }

    fn attach(&mut self) {
        let target =
            self.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = self.call(
            "Target.attachToTarget",
            json!({"targetId": target, "flatten": true}),
        );
        self.session = attached["sessionId"]
            .as_str()
            .expect("a session has an id")
            .to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
    }

    /// One command of the protocol and its result.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input
            .write_all(&bytes)
            .expect("Chromium reads commands");
        let end = Instant::now() + Duration::from_secs(ANSWER_SECONDS_MAX);
        loop {
            let message = self.next(end, method);
            if message["id"] == json!(id) {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            if message["method"].is_string() {
                self.events.push(message);
            }
        }
    }

    fn next(&self, end: Instant, what: &str) -> Value {
        let left = end.saturating_duration_since(Instant::now());
        self.messages
            .recv_timeout(left)
            .unwrap_or_else(|error| panic!("Chromium has no answer to {what}: {error}"))
    }

    /// Opens `url` and waits until it has loaded.
    pub fn visit(&mut self, url: &str) {
        self.load(|chrome| {
            let visited = chrome.call("Page.navigate", json!({"url": url}));
            assert!(
                visited["errorText"].is_null(),
                "{url}: {}",
                visited["errorText"]
            );
        });
    }

    /// Runs `cause`, which makes the page load, and waits until it has loaded.
    pub fn load(&mut self, cause: impl FnOnce(&mut Chrome)) {
        let loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        let seen = self.events.len();
        cause(self);
        let end = Instant::now() + Duration::from_secs(ANSWER_SECONDS_MAX);
        while !self.events.iter().skip(seen).any(loaded) {
            let message = self.next(end, "the load of a page");
            self.events.push(message);
        }
    }

    /// The value of a JavaScript expression; a promise is awaited.
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters =
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {}",
            answer["exceptionDetails"]
        );
        answer["result"]["value"].clone()
    }

    /// Waits until `condition` holds in the page; it is checked at each change of the document.
    pub fn wait_for(&mut self, condition: &str, within: Duration) {
        let held = self.value(&format!(
            "new Promise((resolve) => {{
                const end = (held) => {{ observer.disconnect(); clearTimeout(timer); resolve(held); }};
                const look = () => {{ if ({condition}) end(true); }};
                const observer = new MutationObserver(look);
                const timer = setTimeout(() => end(false), {});
                observer.observe(document, {{ subtree: true, childList: true, attributes: true, characterData: true }});
                look();
            }})",
            within.as_millis()
        ));
        if held != json!(true) {
            let text = self.value("document.body.innerText");
            panic!(
                "not within {within:?}: {condition}\nconsole: {:#?}\nthe page reads:\n{}",
                self.problems(),
                text.as_str().unwrap_or("")
            );
        }
    }

    /// Console errors, exceptions and violations of the policy since the browser was opened.
    pub fn problems(&self) -> Vec<String> {
        self.events
            .iter()
            .filter(|event| match event["method"].as_str() {
                Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
                Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
                Some("Runtime.exceptionThrown") => true,
                _ => false,
            })
            .map(|event| event["params"].to_string())
            .collect()
    }

    /// Every address that the page has asked for.
    pub fn addresses(&self) -> Vec<&str> {
        let sent = |event: &&Value| event["method"] == "Network.requestWillBeSent";
        self.events
            .iter()
            .filter(sent)
            .filter_map(|event| event["params"]["request"]["url"].as_str())
            .collect()
    }

    /// Sets the window's size in CSS pixels, and the colour scheme that the system appears to have.
    pub fn look(&mut self, width: u32, height: u32, scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": scheme}));
    }

    /// Writes what the window shows to a PNG file.
    pub fn screenshot(&mut self, path: &Path) {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let bytes = base64(shot["data"].as_str().expect("a screenshot has data"));
        std::fs::create_dir_all(path.parent().expect("a file is in a folder"))
            .expect("the folder can be made");
        std::fs::write(path, bytes).expect("the screenshot can be written");
    }
}

impl Drop for Chrome {
    fn drop(&mut self) {
        // Chromium ends all its processes when it is asked to; a kill would leave some of them behind.
        self.session.clear();
        let closing = json!({"id": 0, "method": "Browser.close"}).to_string() + "\0";
        if self.input.write_all(closing.as_bytes()).is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// `CHROMIUM`, else the first of the usual names in `PATH`.
fn executable() -> PathBuf {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return named.into();
    }
    let folders: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
        .expect("no Chromium in PATH: tests/run installs it, or name one in CHROMIUM")
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for digit in text.bytes().take_while(|byte| *byte != b'=') {
        let value = ALPHABET
            .iter()
            .position(|letter| *letter == digit)
            .expect("base64 has 64 letters");
        bits = bits << 6 | u32::try_from(value).expect("64 letters");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}
