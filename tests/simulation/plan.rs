//! What a client intends to ask, and how it looks on the wire.

use super::random::Random;

/// The platforms' names, and the fields in which each wants its key.
pub const PLATFORMS: [(&str, &str, &str); 2] = [
    ("alpha", "Authorization", "Bearer "),
    ("beta", "x-api-key", ""),
];

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Unique, such as `c2r0`.
    pub id: String,
    pub method: &'static str,
    pub is_http10: bool,
    pub expects: bool,
    pub flaw: Option<Flaw>,
    /// The index of its platform.
    pub platform: usize,
    pub content: Vec<u8>,
    pub head_bytes: Vec<u8>,
    pub body_bytes: Vec<u8>,
}

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    RequestLine,
    NoHost,
    BothFramings,
    ControlByte,
    HugeHead,
    UnknownPlatform,
    WrongKey,
    /// The body turns into nonsense after a good head.
    ChunkSize,
}

const FLAWS: [Flaw; 8] = [
    Flaw::RequestLine,
    Flaw::NoHost,
    Flaw::BothFramings,
    Flaw::ControlByte,
    Flaw::HugeHead,
    Flaw::UnknownPlatform,
    Flaw::WrongKey,
    Flaw::ChunkSize,
];

impl Request {
    pub fn draw(client: usize, place: usize, may_be_flawed: bool, random: &mut Random) -> Request {
        let flawed = may_be_flawed && random.percent(7);
        let mut request = Request {
            id: format!("c{client}r{place}"),
            method: random.pick(&["GET", "POST", "POST", "POST", "HEAD", "PUT"]),
            is_http10: random.percent(10),
            expects: false,
            flaw: flawed.then(|| random.pick(&FLAWS)),
            platform: random.between(0, PLATFORMS.len() - 1),
            content: Vec::new(),
            head_bytes: Vec::new(),
            body_bytes: Vec::new(),
        };
        if request.flaw == Some(Flaw::ChunkSize) {
            (request.method, request.is_http10) = ("POST", false);
        }
        request.write(client, random);
        request
    }

    /// Whether the request counts in the figures once its head was read: it is meant for a platform that exists.
    pub fn is_counted(&self) -> bool {
        self.is_understood() && self.flaw != Some(Flaw::UnknownPlatform)
    }

    /// Whether its head is well-formed.
    pub fn is_understood(&self) -> bool {
        match self.flaw {
            None | Some(Flaw::WrongKey | Flaw::ChunkSize | Flaw::UnknownPlatform) => true,
            Some(
                Flaw::RequestLine
                | Flaw::NoHost
                | Flaw::BothFramings
                | Flaw::ControlByte
                | Flaw::HugeHead,
            ) => false,
        }
    }

    fn write(&mut self, client: usize, random: &mut Random) {
        let has_body = matches!(self.method, "POST" | "PUT");
        let is_chunked = has_body
            && !self.is_http10
            && (self.flaw == Some(Flaw::ChunkSize) || random.percent(40));
        if has_body {
            let size = random.size(150_000);
            self.content = filler(&self.id, size, random);
        }
        let mut head = self.first_lines(client, random);
        if is_chunked {
            head.push_str("Transfer-Encoding: chunked\r\n");
            self.body_bytes = chunked(&self.content, random);
        } else if has_body {
            head.push_str(&format!("Content-Length: {}\r\n", self.content.len()));
            self.body_bytes = self.content.clone();
        }
        if has_body && !self.is_http10 && random.percent(15) {
            self.expects = true;
            head.push_str("Expect: 100-continue\r\n");
        }
        match (self.is_http10, random.between(0, 9)) {
            (true, 0..=4) => head.push_str("Connection: keep-alive\r\n"),
            (false, 0) => head.push_str("Connection: close\r\n"),
            (true | false, _) => {}
        }
        self.add_flaw(&mut head);
        head.push_str("\r\n");
        self.head_bytes = head.into_bytes();
    }

    fn first_lines(&self, client: usize, random: &mut Random) -> String {
        let (name, auth_header, auth_prefix) = PLATFORMS[self.platform];
        let name = match self.flaw {
            Some(Flaw::UnknownPlatform) => "nowhere",
            _ => name,
        };
        let key = match self.flaw {
            Some(Flaw::WrongKey) => "client-key-of-nobody".to_string(),
            _ => client_key(client),
        };
        let field = |name: &str, prefix: &str| format!("{name}: {prefix}{key}\r\n");
        let (shown, query) = match random.between(0, 9) {
            0..=2 => (field(auth_header, auth_prefix), String::new()),
            3 => (String::new(), format!("?key={key}")),
            4 => {
                let others = ["x-api-key", "x-goog-api-key", "api-key"];
                (field(random.pick(&others), ""), String::new())
            }
            _ => (field("Authorization", "Bearer "), String::new()),
        };
        let api_path = random.pick(&["/v1", ""]);
        let line = match self.flaw {
            Some(Flaw::RequestLine) => format!("{}\r\n", self.method),
            _ => format!(
                "{} /{name}{api_path}/r/{}{query} HTTP/1.{}\r\n",
                self.method,
                self.id,
                u8::from(!self.is_http10)
            ),
        };
        let host = match (self.flaw, self.is_http10) {
            (Some(Flaw::NoHost), false) => "",
            _ => "Host: proxy\r\n",
        };
        format!("{line}{host}x-sim-id: {}\r\n{shown}", self.id)
    }

    fn add_flaw(&mut self, head: &mut String) {
        match self.flaw {
            // An HTTP/1.0 request needs no Host: another flaw replaces this one.
            Some(Flaw::NoHost) if self.is_http10 => head.push_str("no colon\r\n"),
            Some(Flaw::BothFramings) => {
                head.push_str("Content-Length: 3\r\nContent-Length: 4\r\n");
            }
            Some(Flaw::ControlByte) => head.push_str("x-odd: a\0b\r\n"),
            Some(Flaw::HugeHead) => {
                head.push_str(&format!("x-huge: {}\r\n", "h".repeat(70_000)));
            }
            Some(Flaw::ChunkSize) => {
                let place = self.body_bytes.len() - 5;
                self.body_bytes.truncate(place);
                self.body_bytes.extend_from_slice(b"zz\r\n\r\n");
            }
            Some(Flaw::RequestLine | Flaw::NoHost | Flaw::UnknownPlatform | Flaw::WrongKey)
            | None => {}
        }
    }
}

pub fn client_key(client: usize) -> String {
    format!("client-key-number-{client}")
}

/// `size` bytes that begin with their owner's mark and differ from everyone else's.
pub fn filler(mark: &str, size: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = format!("<{mark}>").into_bytes();
    while bytes.len() < size {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// `content` in chunks of random sizes.
pub fn chunked(mut content: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    let size_max = random.pick(&[7, 300, 20_000]).max(content.len() / 300);
    while !content.is_empty() {
        let size = random.between(1, size_max).min(content.len());
        let extension = if random.percent(5) { ";name=value" } else { "" };
        bytes.extend_from_slice(format!("{size:x}{extension}\r\n").as_bytes());
        bytes.extend_from_slice(&content[..size]);
        bytes.extend_from_slice(b"\r\n");
        content = &content[size..];
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}
