//! A client that sends the bytes it is given and parses answers strictly.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

use super::{PATIENCE, place};

/// One connection.
pub struct Client {
    stream: Stream,
    /// What has been read and belongs to no answer yet.
    unread: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Status line and field lines, including the empty line.
    pub head: String,
    /// Without its framing.
    pub body: Vec<u8>,
    /// The field lines after a chunked body.
    pub trailers: String,
}

impl Answer {
    /// The values of a field, whose name matches in any case.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        fields(&self.head, name)
    }

    /// The value of a field that occurs at most once.
    pub fn field(&self, name: &str) -> Option<&str> {
        let values = self.fields(name);
        assert!(values.len() <= 1, "{name} is there {} times", values.len());
        values.first().copied()
    }

    /// The seconds of a `Retry-After` that must be present.
    pub fn retry_after(&self) -> u64 {
        let wait = self.field("retry-after").expect("a time");
        wait.parse().expect("seconds")
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The `code` of one of the proxy's own errors, the same in body and head.
    pub fn error_code(&self) -> String {
        let json = self.json();
        let code = json["error"]["code"].as_str().expect("a code");
        assert_eq!(self.field("x-proxy-error"), Some(code));
        code.to_string()
    }
}

impl Client {
    pub fn connect(port: u16) -> Client {
        Client::try_connect(port).expect("the proxy accepts")
    }

    /// As [`Client::connect`], where possibly no process listens.
    pub fn try_connect(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect((place::programs_host(), port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Client {
            stream: Stream::Plain(stream),
            unread: Vec::new(),
        })
    }

    /// Continues with TLS, to `localhost`, and completes the handshake.
    pub fn secure(self, config: &Arc<ClientConfig>) -> io::Result<Client> {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut session =
            ClientConnection::new(Arc::clone(config), name).expect("the configuration fits");
        let Stream::Plain(mut stream) = self.stream else {
            panic!("TLS within TLS");
        };
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(Client {
            stream: Stream::Tls(Box::new(StreamOwned::new(session, stream))),
            unread: Vec::new(),
        })
    }

    /// The TLS session of a connection that has one.
    pub fn session(&self) -> &ClientConnection {
        match &self.stream {
            Stream::Plain(_) => panic!("it is plain"),
            Stream::Tls(tls) => &tls.conn,
        }
    }

    /// Ends the sending direction of a TLS session with a close_notify alert only: the socket stays open.
    pub fn notify_of_close(&mut self) {
        match &mut self.stream {
            Stream::Plain(_) => panic!("it is plain"),
            Stream::Tls(tls) => {
                tls.conn.send_close_notify();
                tls.flush().expect("the proxy reads");
            }
        }
    }

    fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    /// Whether anything can be read at once.
    pub fn has_news(&self) -> bool {
        let socket = self.socket();
        socket.set_nonblocking(true).expect("an option can be set");
        let peeked = socket.peek(&mut [0]);
        socket.set_nonblocking(false).expect("an option can be set");
        !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .and_then(|()| self.stream.flush())
            .expect("the proxy reads");
    }

    /// As [`Client::send`], where the proxy may have closed already. Returns whether the bytes were written.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// A request and its answer on a connection of its own; an error if the connection breaks at any point.
    pub fn ask_once(port: u16, request: &str) -> io::Result<Vec<u8>> {
        let mut client = Client::try_connect(port)?;
        client.stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        client.stream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    /// The status of the next answer, as [`Client::answer`], where the connection may break.
    pub fn try_status(&mut self) -> io::Result<u16> {
        let mut piece = [0; 4096];
        loop {
            if let Some((answer, rest)) = whole_answer(&self.unread) {
                self.unread = rest;
                return Ok(answer);
            }
            match self.stream.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.unread.extend_from_slice(&piece[..count]),
            }
        }
    }

    /// The answer to a request whose answer has a body.
    pub fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    /// The final answer to a request with this method.
    pub fn answer_to(&mut self, method: &str) -> Answer {
        let head = self.final_head();
        self.after_head(head, method)
    }

    /// As [`Client::answer_to`], where no interim answer may come first.
    pub fn answer_at_once_to(&mut self, method: &str) -> Answer {
        let head = self.head();
        assert!(status_of(&head) >= 200, "an interim answer: {head:?}");
        self.after_head(head, method)
    }

    fn after_head(&mut self, head: String, method: &str) -> Answer {
        let status = status_of(&head);
        let mut answer = Answer {
            status,
            body: Vec::new(),
            trailers: String::new(),
            head,
        };
        let encodings = answer.fields("transfer-encoding").len();
        let length = answer.field("content-length").map(|length| {
            assert_eq!(encodings, 0, "both lengths");
            length.parse::<usize>().expect("a length")
        });
        match (method, status, encodings, length) {
            ("HEAD", ..) | (_, 204 | 304, ..) => {}
            (_, _, 1, _) => (answer.body, answer.trailers) = self.chunked(),
            (_, _, _, Some(length)) => answer.body = self.bytes(length),
            (_, _, _, None) => answer.body = self.rest(),
        }
        answer
    }

    /// Status line and field lines of the next answer, which may be an interim one.
    pub fn head(&mut self) -> String {
        let end = self.until(b"\r\n\r\n");
        let head: Vec<u8> = self.unread.drain(..end).collect();
        String::from_utf8(head).expect("a head is text")
    }

    fn final_head(&mut self) -> String {
        loop {
            let head = self.head();
            if status_of(&head) >= 200 {
                return head;
            }
        }
    }

    /// One chunk of a chunked body; the last one is empty.
    pub fn chunk(&mut self) -> Vec<u8> {
        let end = self.until(b"\r\n");
        let line: Vec<u8> = self.unread.drain(..end).collect();
        let line = std::str::from_utf8(&line[..end - 2]).expect("a size");
        let size = usize::from_str_radix(line, 16).unwrap_or_else(|_| panic!("size {line:?}"));
        if size == 0 {
            return Vec::new();
        }
        let data = self.bytes(size);
        assert_eq!(self.bytes(2), b"\r\n", "a chunk's end");
        data
    }

    fn chunked(&mut self) -> (Vec<u8>, String) {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk();
            if chunk.is_empty() {
                break;
            }
            body.extend(chunk);
        }
        let mut trailers = String::new();
        loop {
            let end = self.until(b"\r\n");
            let line: Vec<u8> = self.unread.drain(..end).collect();
            if line == b"\r\n" {
                return (body, trailers);
            }
            trailers.push_str(std::str::from_utf8(&line).expect("text"));
        }
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            assert_ne!(self.read(), 0, "the connection ended early");
        }
        self.unread.drain(..count).collect()
    }

    /// Awaits a byte when none is unread; false if the connection ends instead.
    pub fn try_byte(&mut self) -> bool {
        self.unread.pop().is_some() || self.stream.read(&mut [0]).is_ok_and(|count| count == 1)
    }

    /// Everything up to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.read() > 0 {}
        std::mem::take(&mut self.unread)
    }

    /// Awaits the end of the connection, before which nothing more may come.
    pub fn ends(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }

    /// Whether the connection ends by a reset, after whatever comes before.
    pub fn is_reset(&mut self) -> bool {
        let mut piece = [0; 4096];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }

    /// Ends the sending direction.
    pub fn half_close(&mut self) {
        let ended = self.socket().shutdown(Shutdown::Write);
        ended.expect("it is open");
    }

    /// Closes by a reset.
    pub fn reset(self) {
        socket2::SockRef::from(self.socket())
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("an option can be set");
    }

    fn until(&mut self, mark: &[u8]) -> usize {
        loop {
            let found = self
                .unread
                .windows(mark.len())
                .position(|window| window == mark);
            if let Some(at) = found {
                return at + mark.len();
            }
            let count = self.read();
            let so_far = String::from_utf8_lossy(&self.unread);
            assert_ne!(count, 0, "the connection ended early: {so_far:?}");
        }
    }

    fn read(&mut self) -> usize {
        let mut piece = [0; 64 * 1024];
        let count = self.stream.read(&mut piece).expect("the proxy answers");
        self.unread.extend_from_slice(&piece[..count]);
        count
    }
}

/// The status of the first answer, which has a length, and what follows it; none while it is incomplete.
fn whole_answer(unread: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = unread.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&unread[..end]).expect("a head is text");
    let length = fields(head, "content-length");
    let length: usize = length.first().expect("a length").parse().expect("a length");
    let rest = unread.get(end + length..)?;
    Some((status_of(head), rest.to_vec()))
}

impl Read for Stream {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(space),
            Stream::Tls(tls) => tls.read(space),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(tls) => tls.flush(),
        }
    }
}

fn status_of(head: &str) -> u16 {
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    let status = status.unwrap_or_else(|| panic!("no status line: {head:?}"));
    status.parse().expect("a status")
}

/// The values of a field in a head.
pub fn fields<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    let lines = head.split("\r\n").skip(1);
    lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}
