//! The program under test in a folder of its own, started, stopped and started again.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

const START_SECONDS_MAX: u64 = 20;
const ANSWER_SECONDS_MAX: u64 = 10;
pub const ROOT_KEY: &str = "root-key-of-this-test";
pub const CLIENT_KEY: &str = "client-key-of-this-test";

/// A running proxy; it is killed and its folder removed when dropped.
pub struct Proxy {
    child: Option<Child>,
    folder: PathBuf,
    port: u16,
}

impl Proxy {
    /// Starts it with these platforms, a root key and a client key, on a free port.
    pub fn start(platforms: &Value) -> Proxy {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("ai-api-proxy-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("the folder can be made");
        let mut proxy = Proxy {
            child: None,
            folder,
            port: 0,
        };
        let keys = json!([
            {"key": ROOT_KEY, "name": "operator", "is_root": true},
            {"key": CLIENT_KEY, "name": "web app", "daily_limit": 100},
        ]);
        proxy.write("key.json", &keys.to_string());
        proxy.write("platform.json", &platforms.to_string());
        proxy.start_again();
        proxy
    }

    /// Starts it on the port that it had.
    pub fn start_again(&mut self) {
        self.write(
            "config.json",
            &json!({"host": "127.0.0.1", "port": self.port}).to_string(),
        );
        let mut child = Command::new(env!("CARGO_BIN_EXE_ai-api-proxy"))
            .arg("--dir")
            .arg(&self.folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = child.stdout.take().expect("stdout is piped");
        self.child = Some(child);
        let (sender, ports) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(port) = line.strip_prefix("listening on http://127.0.0.1:") {
                    let _ = sender.send(port.parse::<u16>().expect("a port is a number"));
                }
            }
        });
        let within = Duration::from_secs(START_SECONDS_MAX);
        self.port = ports
            .recv_timeout(within)
            .expect("the program says where it listens");
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.folder.join(name), content).expect("the file can be written");
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Sends a request with the client key and gives the answer's status.
    pub fn ask(&self, path: &str) -> u16 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the proxy accepts");
        stream
            .set_read_timeout(Some(Duration::from_secs(ANSWER_SECONDS_MAX)))
            .expect("a timeout can be set");
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {CLIENT_KEY}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("the proxy reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the proxy answers");
        let line = String::from_utf8_lossy(&answer);
        line.split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("an answer has a status")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
