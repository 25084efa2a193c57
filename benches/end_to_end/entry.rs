//! The programs that are compared: their configurations, their start and their end.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::platform::Platform;
use super::process;
use super::wire::AUTHORITY_PEM;

/// How long a program may take to answer, and to end.
const START_MAX: Duration = Duration::from_secs(10);
const END_MAX: Duration = Duration::from_secs(3);

/// How many clients a rival is configured for.
const CONNECTIONS_MAX: usize = 2000;

pub const CLIENT_KEY: &str = "sk-client-key-of-the-benchmark";
const PLATFORM_KEY: &str = "sk-platform-key-of-the-benchmark";

/// How the platform is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Plain,
    Tls,
}

/// What an entry is given when it starts.
#[derive(Clone, Copy)]
pub struct Surroundings {
    pub platform: Platform,
    pub way: Way,
    /// The processor on which entries run, if there is one for them alone.
    pub processor: Option<usize>,
}

/// What is between client and platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Project,
    Haproxy,
    Nginx,
    /// Nothing: the most that load generator and platform can do.
    Direct,
}

/// A running entry. Its processes end and its folder is removed when it is dropped.
pub struct Running {
    pub entry: Entry,
    pub port: u16,
    pub start_took: Duration,
    /// The program and what it has started.
    pub processes: Vec<u32>,
    child: Option<Child>,
    folder: PathBuf,
}

impl Entry {
    pub fn name(self) -> &'static str {
        match self {
            Entry::Project => "ai-api-proxy",
            Entry::Haproxy => "haproxy",
            Entry::Nginx => "nginx",
            Entry::Direct => "direct",
        }
    }

    /// The program's path, if it is installed; system programs are often outside a user's search path.
    pub fn program(self) -> Option<PathBuf> {
        match self {
            Entry::Direct => None,
            Entry::Project => Some(env!("CARGO_BIN_EXE_ai-api-proxy").into()),
            Entry::Haproxy | Entry::Nginx => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let system = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
                std::env::split_paths(&path)
                    .chain(system)
                    .map(|folder| folder.join(self.name()))
                    .find(|file| file.is_file())
            }
        }
    }

    /// What precedes the platform's own path.
    pub fn path_prefix(self) -> &'static str {
        match self {
            Entry::Project => "/mock/v1",
            Entry::Haproxy | Entry::Nginx | Entry::Direct => "/v1",
        }
    }

    /// Starts the program between clients and platform.
    ///
    /// # Errors
    /// If it does not answer in time; the error includes what it wrote.
    pub fn start(self, around: Surroundings) -> io::Result<Running> {
        let folder = std::env::temp_dir().join(format!(
            "ai-api-proxy-bench-{}-{}-{:?}",
            std::process::id(),
            self.name(),
            around.way
        ));
        fs::create_dir_all(&folder)?;
        let mut running = Running {
            entry: self,
            port: 0,
            start_took: Duration::ZERO,
            processes: Vec::new(),
            child: None,
            folder,
        };
        let Some(program) = self.program() else {
            running.port = around.platform.plain_port;
            return Ok(running);
        };
        fs::write(running.folder.join("ca.pem"), AUTHORITY_PEM)?;
        running.port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(program);
        self.configure(&mut command, &running, around)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(running.folder.join("stderr"))?);
        let started = Instant::now();
        running.child = Some(command.spawn()?);
        if self == Entry::Project {
            running.port = running.read_port()?;
        }
        running.await_answer(started)?;
        running.start_took = started.elapsed();
        running.processes = running
            .child
            .iter()
            .flat_map(|child| process::family(child.id()))
            .collect();
        if let Some(processor) = around.processor {
            for process in &running.processes {
                process::move_to(*process, &processor.to_string());
            }
        }
        Ok(running)
    }

    /// Writes the configuration files and names them on the command line.
    fn configure(
        self,
        command: &mut Command,
        running: &Running,
        around: Surroundings,
    ) -> io::Result<()> {
        let Surroundings { platform, way, .. } = around;
        let folder = &running.folder;
        match self {
            Entry::Direct => {}
            Entry::Project => {
                write_project(folder, way, platform)?;
                command.arg("--dir").arg(folder);
            }
            Entry::Haproxy => {
                let file = folder.join("haproxy.cfg");
                fs::write(&file, haproxy_config(folder, running.port, way, platform))?;
                command.arg("-db").arg("-f").arg(file);
            }
            Entry::Nginx => {
                let file = folder.join("nginx.conf");
                fs::write(&file, nginx_config(folder, running.port, way, platform))?;
                let log = folder.join("error.log");
                command
                    .arg("-e")
                    .arg(log)
                    .arg("-p")
                    .arg(folder)
                    .arg("-c")
                    .arg(file);
            }
        }
        Ok(())
    }
}

fn write_project(folder: &Path, way: Way, platform: Platform) -> io::Result<()> {
    let (base_url, ca_file) = match way {
        Way::Plain => (format!("http://localhost:{}", platform.plain_port), None),
        Way::Tls => (
            format!("https://localhost:{}", platform.tls_port),
            Some("ca.pem"),
        ),
    };
    let mut mock =
        json!({"name": "mock", "base_url": base_url, "api_path": "/v1", "keys": [PLATFORM_KEY]});
    if let Some(ca_file) = ca_file {
        mock["ca_file"] = json!(ca_file);
    }
    let config = json!({"host": "127.0.0.1", "port": 0, "log_level": "warn"});
    let clients = json!([{"key": CLIENT_KEY, "name": "benchmark"}]);
    fs::write(folder.join("config.json"), config.to_string())?;
    fs::write(folder.join("key.json"), clients.to_string())?;
    fs::write(folder.join("platform.json"), json!([mock]).to_string())
}

fn haproxy_config(folder: &Path, port: u16, way: Way, platform: Platform) -> String {
    let server = match way {
        Way::Plain => format!("127.0.0.1:{}", platform.plain_port),
        Way::Tls => format!(
            "127.0.0.1:{} ssl verify required ca-file {} sni str(localhost) verifyhost localhost",
            platform.tls_port,
            folder.join("ca.pem").display()
        ),
    };
    // HAProxy refuses to start if it may not open as many files as these need.
    let connections = (process::open_files_max().saturating_sub(100) / 2).min(CONNECTIONS_MAX);
    format!(
        "global
    nbthread 1
    maxconn {connections}
defaults
    mode http
    option http-no-delay
    timeout connect 10s
    timeout client 300s
    timeout server 300s
    timeout http-keep-alive 75s
frontend clients
    bind 127.0.0.1:{port} backlog 1024
    http-request set-header Authorization \"Bearer {PLATFORM_KEY}\"
    default_backend platform
backend platform
    http-reuse always
    server mock {server} pool-max-conn 256 pool-low-conn 256 pool-purge-delay 75s
"
    )
}

fn nginx_config(folder: &Path, port: u16, way: Way, platform: Platform) -> String {
    let folder = folder.display();
    let (server, pass) = match way {
        Way::Plain => (
            platform.plain_port,
            "proxy_pass http://platform;".to_string(),
        ),
        Way::Tls => (
            platform.tls_port,
            format!(
                "proxy_pass https://platform;
            proxy_ssl_trusted_certificate {folder}/ca.pem;
            proxy_ssl_verify on;
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;"
            ),
        ),
    };
    format!(
        "daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    client_max_body_size 100m;
    upstream platform {{
        server 127.0.0.1:{server} max_fails=0;
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            {pass}
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Authorization \"Bearer {PLATFORM_KEY}\";
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_buffer_size 16k;
            proxy_buffers 8 16k;
            proxy_read_timeout 300s;
        }}
    }}
}}
"
    )
}

impl Running {
    /// The project prints where it listens.
    fn read_port(&mut self) -> io::Result<u16> {
        let output = self.child.as_mut().and_then(|child| child.stdout.as_mut());
        let lines = BufReader::new(output.expect("stdout is piped")).lines();
        for line in lines {
            if let Some(port) = line?.strip_prefix("listening on http://127.0.0.1:") {
                return port.parse().map_err(io::Error::other);
            }
        }
        Err(self.silent())
    }

    fn await_answer(&mut self, started: Instant) -> io::Result<()> {
        while started.elapsed() < START_MAX {
            if answers(self.port, &self.request("GET", "/models", &[])).unwrap_or(false) {
                return Ok(());
            }
            let ended = self.child.as_mut().map(Child::try_wait);
            if let Some(Ok(Some(_))) = ended {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Err(self.silent())
    }

    fn silent(&self) -> io::Error {
        let words = fs::read_to_string(self.folder.join("stderr")).unwrap_or_default();
        io::Error::other(format!("{} does not answer: {words}", self.entry.name()))
    }

    /// A request for the platform's `path`.
    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let length = body.len();
        let mut request = format!(
            "{method} {}{path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAccept-Encoding: gzip, deflate\r\n\
             Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 1.99.0\r\n\
             Authorization: Bearer {CLIENT_KEY}\r\nX-Stainless-Lang: python\r\nX-Stainless-OS: Linux\r\n\
             X-Stainless-Arch: x64\r\nX-Stainless-Retry-Count: 0\r\nContent-Length: {length}\r\n\r\n",
            self.entry.path_prefix(),
            self.port
        )
        .into_bytes();
        request.extend_from_slice(body);
        request
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            if let Ok(None) = child.try_wait() {
                // On SIGTERM, nginx ends its worker, too.
                let id = child.id().to_string();
                let _ = Command::new("sh")
                    .args(["-c", "kill -TERM \"$0\"", &id])
                    .status();
            }
            let asked = Instant::now();
            while asked.elapsed() < END_MAX && matches!(child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(5));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Whether a request is answered with 200.
fn answers(port: u16, request: &[u8]) -> io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(request)?;
    let mut line = [0; 12];
    stream.read_exact(&mut line)?;
    Ok(line == *b"HTTP/1.1 200")
}
