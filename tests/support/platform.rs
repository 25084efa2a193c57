//! A platform that does what a test tells it, over real sockets and with one thread per connection.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use super::client::fields;
use super::{PATIENCE, place};

/// It lives as long as the test's process.
pub struct Platform {
    port: u16,
    seen: Mutex<Receiver<Seen>>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Request line and field lines, including the empty line.
    pub head: String,
    /// Including its framing.
    pub body: Vec<u8>,
    /// The connection on which it came, counted from 0.
    pub connection: usize,
}

/// The connection on which a request came.
pub struct Line {
    stream: TcpStream,
    /// What has been read; the first `taken` bytes of it have been handed out.
    read: Vec<u8>,
    taken: usize,
}

/// What follows an answer.
pub enum Next {
    Await,
    Close,
}

impl Seen {
    pub fn fields(&self, name: &str) -> Vec<&str> {
        fields(&self.head, name)
    }

    /// The key that it carries.
    pub fn key(&self) -> &str {
        let value = self.fields("authorization");
        value
            .first()
            .copied()
            .unwrap_or_default()
            .trim_start_matches("Bearer ")
    }

    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

impl Platform {
    /// A platform that answers each request by `script`, after reading it with its body.
    pub fn serve(script: impl Fn(&Seen, &mut Line) -> Next + Send + Sync + 'static) -> Platform {
        Platform::raw(move |connection, line, seen| {
            while let Some(request) = line.request(connection) {
                let _ = seen.send(request.clone());
                if let Next::Close = script(&request, line) {
                    return;
                }
            }
        })
    }

    /// A platform that runs `script` on each connection.
    pub fn raw(
        script: impl Fn(usize, &mut Line, &mpsc::Sender<Seen>) + Send + Sync + 'static,
    ) -> Platform {
        let listener = TcpListener::bind((place::test_host(), 0)).expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        let (sender, receiver) = mpsc::channel();
        let script = Arc::new(script);
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                let (script, sender) = (Arc::clone(&script), sender.clone());
                let mut line = Line::new(stream);
                thread::spawn(move || script(connection, &mut line, &sender));
            }
        });
        Platform {
            port,
            seen: Mutex::new(receiver),
        }
    }

    /// A platform that answers everything with this JSON.
    pub fn answering(body: &'static str) -> Platform {
        Platform::serve(move |_, line| {
            line.answer("200 OK", body);
            Next::Await
        })
    }

    pub fn base_url(&self) -> String {
        format!("http://{}:{}", place::test_host(), self.port)
    }

    /// Its entry in `platform.json`, named `test`. Probes go to `/probe`, so that they can be told from other requests.
    pub fn entry(&self, keys: &[&str]) -> Value {
        json!({
            "name": "test", "base_url": self.base_url(), "api_path": "/v1",
            "health_check_endpoint": "/probe", "keys": keys,
        })
    }

    /// The next request that is not a probe.
    pub fn next(&self) -> Seen {
        let seen = self.seen.lock().expect("no thread panicked");
        loop {
            let request = seen.recv_timeout(PATIENCE).expect("a request comes");
            if !request.path().ends_with("/probe") {
                return request;
            }
        }
    }

    /// All requests that have come, without probes.
    pub fn all(&self) -> Vec<Seen> {
        let seen = self.seen.lock().expect("no thread panicked");
        let requests = seen.try_iter();
        requests
            .filter(|request| !request.path().ends_with("/probe"))
            .collect()
    }
}

/// How the proxy ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Close,
    Reset,
}

impl Line {
    fn new(stream: TcpStream) -> Line {
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("an option can be set");
        stream.set_nodelay(true).expect("an option can be set");
        Line {
            stream,
            read: Vec::new(),
            taken: 0,
        }
    }

    /// Sends bytes; returns false once the proxy has gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends a JSON answer with its length.
    pub fn answer(&mut self, status: &str, body: &str) {
        let length = body.len();
        self.send(format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    }

    /// Limits to about this size what the kernel buffers while the proxy does not read.
    pub fn buffer_at_most(&self, bytes: usize) {
        socket2::SockRef::from(&self.stream)
            .set_send_buffer_size(bytes)
            .expect("an option can be set");
    }

    /// Makes the subsequent close a reset.
    pub fn reset(&self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("an option can be set");
    }

    /// Awaits the proxy's end of the connection; anything else that comes is dropped. None if it does not end.
    pub fn end(&mut self) -> Option<End> {
        let mut piece = [0; 4096];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Some(End::Close),
                Ok(_) => {}
                Err(error) => {
                    let is_reset = error.kind() == std::io::ErrorKind::ConnectionReset;
                    return is_reset.then_some(End::Reset);
                }
            }
        }
    }

    /// A request's head, if one arrives.
    pub fn head(&mut self) -> Option<String> {
        let end = self.until(b"\r\n\r\n")?;
        Some(String::from_utf8_lossy(&self.take(end)).into_owned())
    }

    /// The next `count` bytes of a body.
    pub fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.unread().len() < count {
            self.read()?;
        }
        Some(self.take(count))
    }

    fn request(&mut self, connection: usize) -> Option<Seen> {
        let head = self.head()?;
        let length = fields(&head, "content-length");
        let body = match (length.first(), fields(&head, "transfer-encoding").len()) {
            (Some(length), 0) => self.bytes(length.parse().ok()?)?,
            (None, 1) => self.chunks()?,
            (None, 0) => Vec::new(),
            both => panic!("framed in two ways: {both:?} {head}"),
        };
        Some(Seen {
            head,
            body,
            connection,
        })
    }

    /// A chunked body as it came, without trailers.
    fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = self.until(b"\r\n")?;
            let line = self.take(end);
            let digits = std::str::from_utf8(&line[..end - 2]).expect("a size");
            let size = usize::from_str_radix(digits, 16).expect("a size without extensions");
            body.extend(line);
            body.extend(self.bytes(size + 2)?);
            if size == 0 {
                return Some(body);
            }
        }
    }

    fn until(&mut self, mark: &[u8]) -> Option<usize> {
        loop {
            let found = self
                .unread()
                .windows(mark.len())
                .position(|window| window == mark);
            if let Some(at) = found {
                return Some(at + mark.len());
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Option<()> {
        let mut piece = [0; 64 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                // Once per read, not once per piece: one read may have brought many thousands of pieces.
                self.read.drain(..self.taken);
                self.taken = 0;
                self.read.extend_from_slice(&piece[..count]);
                Some(())
            }
        }
    }

    fn unread(&self) -> &[u8] {
        &self.read[self.taken..]
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let bytes = self.unread()[..count].to_vec();
        self.taken += count;
        bytes
    }
}
