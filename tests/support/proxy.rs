//! The program under test in a folder of its own, started, stopped and restarted.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::{PATIENCE, place};

pub const ROOT_KEY: &str = "root-key-of-this-test";
pub const CLIENT_KEY: &str = "client-key-of-this-test";

/// A running proxy; it is killed and its folder removed when dropped.
pub struct Proxy {
    child: Option<Child>,
    folder: PathBuf,
    config: Value,
    port: u16,
    shell: Option<String>,
    log: Arc<Log>,
}

/// A process that another one has replaced, on the same port and folder. It is killed when dropped.
pub struct Former {
    child: Child,
    pub log: Arc<Log>,
}

/// What the program has printed, on both streams.
#[derive(Default)]
pub struct Log {
    text: Mutex<String>,
    grown: Condvar,
}

impl Proxy {
    /// Starts it with these platforms, a root key and a client key, on a free port.
    pub fn start(platforms: &Value) -> Proxy {
        Proxy::with(json!({}), platforms)
    }

    /// As [`Proxy::start`], with these fields in `config.json`.
    pub fn with(config: Value, platforms: &Value) -> Proxy {
        let keys = json!([
            {"key": ROOT_KEY, "name": "operator", "is_root": true},
            {"key": CLIENT_KEY, "name": "web app", "daily_limit": 100},
        ]);
        Proxy::with_keys(config, &keys, platforms)
    }

    /// As [`Proxy::with`], with these client keys.
    pub fn with_keys(config: Value, keys: &Value, platforms: &Value) -> Proxy {
        let mut proxy = Proxy::prepare(config, keys, platforms);
        proxy.start_again();
        proxy
    }

    /// As [`Proxy::with_keys`], not started yet.
    pub fn prepare(config: Value, keys: &Value, platforms: &Value) -> Proxy {
        let proxy = Proxy {
            child: None,
            folder: new_folder(),
            config,
            port: 0,
            shell: None,
            log: Arc::default(),
        };
        proxy.write("key.json", &keys.to_string());
        proxy.write("platform.json", &platforms.to_string());
        proxy
    }

    /// Runs `script` in the same process before the program: for limits, descriptors.
    pub fn after(mut self, script: &str) -> Proxy {
        self.shell = Some(script.to_string());
        self.start_again();
        self
    }

    /// Starts it again, on the port that it had.
    pub fn start_again(&mut self) {
        self.begin_again();
        self.await_start();
    }

    /// Awaits what it prints first.
    pub fn await_start(&mut self) {
        let line = self.log.await_line("listening on ");
        let (_, port) = line.rsplit_once(':').expect("the address has a port");
        self.port = port.parse().expect("a port is a number");
    }

    /// Starts it again after `script`, on the port that it had. Nothing that it prints is awaited.
    pub fn begin_after(&mut self, script: &str) {
        self.shell = Some(script.to_string());
        self.begin_again();
    }

    fn begin_again(&mut self) {
        self.configure(json!({}));
        self.log = Arc::default();
        self.child = Some(match &self.shell {
            None => spawn(&self.folder, &self.log),
            Some(script) => {
                let mut shell = Command::new("bash");
                let program = env!("CARGO_BIN_EXE_ai-api-proxy");
                shell
                    .arg("-c")
                    .arg(format!("{script}; exec {program} \"$@\""));
                shell.arg("bash");
                spawn_as(shell, &self.folder, &self.log)
            }
        });
    }

    /// As [`Proxy::start_again`], without the shell script before it.
    pub fn start_again_unbounded(&mut self) {
        self.shell = None;
        self.start_again();
    }

    /// Starts another process beside the present one and treats the new one as the present one from then on.
    pub fn start_beside(&mut self) -> Former {
        let child = self.child.take().expect("it was started");
        let log = Arc::clone(&self.log);
        self.start_again();
        Former { child, log }
    }

    /// Writes `config.json` with these fields changed. They stay changed for later calls.
    pub fn configure(&mut self, changes: Value) {
        let fields = self.config.as_object_mut().expect("an object");
        fields.extend(changes.as_object().expect("an object").clone());
        fields
            .entry("host")
            .or_insert_with(|| json!(place::listening_host()));
        fields.insert("port".to_string(), json!(self.port));
        self.write("config.json", &self.config.to_string());
    }

    /// Kills it.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        send_signal(name, self.id());
    }

    /// Awaits its end.
    pub fn exit_status(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it was started");
        child.wait().expect("a child can be awaited")
    }

    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it was started").id()
    }

    /// The kernel's count of its resident memory, in KB.
    pub fn resident_kilobytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let status = fs::read_to_string(path).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.expect("a size").trim().trim_end_matches(" kB");
        number.parse().expect("a number")
    }

    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.folder.join(name), content).expect("the file can be written");
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.port)
    }

    /// Sends a request whose head begins with `head`, on a connection of its own.
    pub fn answer(&self, head: &str) -> Answer {
        let mut client = self.connect();
        client.send(format!(
            "{head}\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        ));
        client.answer_to(head.split(' ').next().expect("a method"))
    }

    /// Sends a request with the client key.
    pub fn get(&self, path: &str) -> Answer {
        self.answer(&format!(
            "GET {path} HTTP/1.1\r\nAuthorization: Bearer {CLIENT_KEY}"
        ))
    }

    /// Sends a request with the client key and returns the answer's status.
    pub fn ask(&self, path: &str) -> u16 {
        self.get(path).status
    }

    /// One of its own pages, which the root key opens from any address.
    pub fn page(&self, path: &str) -> Value {
        let head = format!("GET {path} HTTP/1.1\r\nAuthorization: Bearer {ROOT_KEY}");
        self.answer(&head).json()
    }
}

impl Former {
    pub fn signal(&self, name: &str) {
        send_signal(name, self.child.id());
    }

    /// Whether it has ended, without waiting.
    pub fn has_ended(&mut self) -> bool {
        let status = self.child.try_wait().expect("a child can be asked");
        status.is_some()
    }

    /// Awaits its end.
    pub fn exit_status(&mut self) -> ExitStatus {
        self.child.wait().expect("a child can be awaited")
    }
}

impl Drop for Former {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the former process printed:\n{}", self.log.text());
        }
    }
}

fn send_signal(name: &str, process: u32) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .status();
    assert!(status.expect("kill is there").success());
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop();
        if thread::panicking() {
            eprintln!("the program printed:\n{}", self.log.text());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Log {
    pub fn text(&self) -> String {
        self.text.lock().expect("no thread panicked").clone()
    }

    /// Awaits a line that contains `part`.
    pub fn await_line(&self, part: &str) -> String {
        self.await_lines(part, 1)
    }

    /// Awaits this many lines that contain `part`, and returns the last of them.
    pub fn await_lines(&self, part: &str, count: usize) -> String {
        let find = |text: &str| {
            let (whole, _) = text.rsplit_once('\n')?;
            let line = whole
                .lines()
                .filter(|line| line.contains(part))
                .nth(count - 1)?;
            Some(line.to_string())
        };
        let text = self.text.lock().expect("no thread panicked");
        let (text, _) = self
            .grown
            .wait_timeout_while(text, PATIENCE, |text| find(text).is_none())
            .expect("no thread panicked");
        match find(&text) {
            Some(line) => line,
            None => panic!("no {count} lines with {part:?} among:\n{text}"),
        }
    }

    fn add(&self, line: &str) {
        let mut text = self.text.lock().expect("no thread panicked");
        text.push_str(line);
        text.push('\n');
        self.grown.notify_all();
    }
}

/// A folder that no other test uses.
pub fn new_folder() -> PathBuf {
    static FOLDERS: AtomicU32 = AtomicU32::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let name = format!("ai-api-proxy-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).expect("the folder can be made");
    folder
}

/// Starts the program on `folder`; what it prints goes into `log`.
pub fn spawn(folder: &Path, log: &Arc<Log>) -> Child {
    let program = place::command(env!("CARGO_BIN_EXE_ai-api-proxy"));
    spawn_as(program, folder, log)
}

fn spawn_as(mut command: Command, folder: &Path, log: &Arc<Log>) -> Child {
    let mut child = command
        .arg("--dir")
        .arg(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let output = child.stdout.take().expect("stdout is piped");
    let errors = child.stderr.take().expect("stderr is piped");
    gather(output, Arc::clone(log));
    gather(errors, Arc::clone(log));
    child
}

fn gather(stream: impl std::io::Read + Send + 'static, log: Arc<Log>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            log.add(&line);
        }
    });
}
