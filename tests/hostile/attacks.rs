//! What attackers and broken platforms do, one kind at a time. Each attack ends when its effect has been seen.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::support::platform::{Line, Next, Platform};
use crate::support::proxy::{CLIENT_KEY, Proxy};
use crate::support::{PATIENCE, place};

/// An answer larger than all buffers on its way together.
const BIG_BYTES: usize = BIG_PIECES * BIG_PIECE_BYTES;
const BIG_PIECES: usize = 10;
const BIG_PIECE_BYTES: usize = 64 * 1024;
static BIG_PIECE: [u8; BIG_PIECE_BYTES] = [b'b'; BIG_PIECE_BYTES];

/// How much of an answer that is not taken a platform's kernel holds. It stands for another machine's: thousands of
/// whole answers would be no load of the proxy's, and would use up the memory that this machine has for connections.
const HELD_BYTES: usize = 16 * 1024;

/// How often to check whether an attack has had its effect.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Chunks of one byte each in one upload.
const CHUNKS: usize = 20_000;

/// Requests that one client sends without reading an answer.
const PIPELINED: usize = 10_000;

/// A platform that answers much if asked to.
pub fn generous() -> Platform {
    Platform::serve(|request, line| match request.path() {
        path @ ("/v1/big" | "/v1/held") => {
            if path == "/v1/held" {
                line.buffer_at_most(HELD_BYTES);
            }
            line.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {BIG_BYTES}\r\n\r\n"
            ));
            match (0..BIG_PIECES).all(|_| line.send(BIG_PIECE)) {
                true => Next::Await,
                false => Next::Close,
            }
        }
        "/v1/count" => {
            // Each chunk consists of a line `1` and the byte `x`.
            let count = request.body.iter().filter(|byte| **byte == b'x').count();
            line.answer("200 OK", &count.to_string());
            Next::Await
        }
        _ => {
            line.answer("200 OK", "{}");
            Next::Await
        }
    })
}

/// A platform that answers without end, as the path says.
pub fn endless() -> Platform {
    fn repeat(line: &mut Line, piece: &str) -> Next {
        while line.send(piece) {}
        Next::Close
    }
    Platform::serve(|request, line| {
        let path = request.path();
        if !path.ends_with("/probe") && !path.ends_with("/interim") {
            line.send("HTTP/1.1 200 OK\r\n");
        }
        match path {
            "/v1/fields" => repeat(line, "X-Endless: field\r\n"),
            "/v1/line" => repeat(line, "endless"),
            "/v1/interim" => repeat(line, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
            "/v1/drip" => {
                while line.send("X") {
                    std::thread::park_timeout(Duration::from_millis(50));
                }
                Next::Close
            }
            _ => {
                line.answer("200 OK", "{}");
                Next::Await
            }
        }
    })
}

/// A platform that takes connections and says nothing, neither TLS nor anything else.
pub fn silent() -> Platform {
    Platform::raw(|_, line, _| {
        line.end();
    })
}

/// A platform that reads the head of a request and no more. To `/v1/big` it answers much.
pub fn unreading() -> Platform {
    Platform::raw(|_, line, _| {
        let head = line.head().unwrap_or_default();
        if head.contains(" /v1/big ") {
            line.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while line.send(BIG_PIECE) {}
        } else if head.contains(" /v1/silent ") {
            loop {
                std::thread::park();
            }
        }
    })
}

pub fn connect(proxy: &Proxy) -> TcpStream {
    let stream =
        TcpStream::connect((place::programs_host(), proxy.port())).expect("the proxy accepts");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("an option can be set");
    stream
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {CLIENT_KEY}\r\n\r\n")
}

/// All that comes until the proxy closes or resets the connection.
pub fn read_out(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("it was not closed: {error}"),
    }
    bytes
}

/// A request that is the last on its connection.
fn closing(path: &str) -> String {
    request(path).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
}

/// How many clients the proxy has.
fn clients(proxy: &Proxy) -> u64 {
    let connections = &proxy.page("/stats")["connections"];
    connections["clients"].as_u64().expect("a number")
}

fn status(answer: &[u8]) -> &str {
    let status = answer.get(9..12).unwrap_or_default();
    std::str::from_utf8(status).unwrap_or_default()
}

/// Heads that come in occasional pieces and never end.
pub fn slow_heads(proxy: &Proxy, count: usize) -> u64 {
    let mut streams: Vec<TcpStream> = (0..count).map(|_| connect(proxy)).collect();
    for piece in ["GET / HTTP/1.1\r\n", "Host: p\r\n", "X-Slow: ", "a", "b"] {
        for stream in &mut streams {
            // The first ones may be over already.
            let _ = stream.write_all(piece.as_bytes());
        }
    }
    let resident = proxy.resident_kilobytes();
    for stream in &mut streams {
        assert_eq!(status(&read_out(stream)), "408");
    }
    resident
}

/// Clients that ask for much and read nothing, until the proxy has closed their connections.
pub fn never_reading(proxy: &Proxy, count: usize) -> u64 {
    let before = clients(proxy);
    let asked = closing("/big/v1/held");
    let host: IpAddr = place::programs_host().parse().expect("an address");
    let address = SocketAddr::from((host, proxy.port()));
    let streams: Vec<Socket> = (0..count)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            // The kernel must not accept the answer on the client's behalf: small segments keep its buffers small.
            socket
                .set_recv_buffer_size(4096)
                .and_then(|()| socket.set_tcp_mss(536))
                .expect("an option can be set");
            socket.connect(&address.into()).expect("the proxy accepts");
            let sent = (&socket).write_all(asked.as_bytes());
            sent.expect("it reads");
            socket
        })
        .collect();
    let mut resident = 0;
    // Thousands of answers take time when the platform gives way to others.
    let until = Instant::now() + 3 * PATIENCE;
    while clients(proxy) > before {
        assert!(Instant::now() < until, "{} of {before}", clients(proxy));
        resident = resident.max(proxy.resident_kilobytes());
        std::thread::park_timeout(LOOK_EVERY);
    }
    for socket in streams {
        let mut stream = TcpStream::from(socket);
        let got = read_out(&mut stream).len();
        assert!(got < BIG_BYTES, "the answer came whole: {got}");
    }
    resident
}

/// Clients that send a large head and as much of a body as is taken, and read nothing, until the proxy has closed their
/// connections.
pub fn sending_without_end(proxy: &Proxy, path: &str, count: usize) -> u64 {
    let before = clients(proxy);
    let long = "x".repeat(60_000);
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {CLIENT_KEY}\r\nX-Long: {long}\r\nContent-Length: 100000000\r\n\r\n"
    );
    let mut streams: Vec<TcpStream> = (0..count)
        .map(|_| {
            let mut stream = connect(proxy);
            stream.write_all(head.as_bytes()).expect("it reads");
            stream.set_nonblocking(true).expect("an option can be set");
            stream
        })
        .collect();
    let mut resident = 0;
    let until = Instant::now() + PATIENCE;
    while clients(proxy) > before {
        assert!(Instant::now() < until, "{} of {before}", clients(proxy));
        for stream in &mut streams {
            while stream.write(&BIG_PIECE).is_ok_and(|count| count > 0) {}
        }
        resident = resident.max(proxy.resident_kilobytes());
        std::thread::park_timeout(LOOK_EVERY);
    }
    resident
}

/// One client that downloads as fast as it can.
pub fn downloading(proxy: &Proxy, count: usize) {
    let mut client = proxy.connect();
    for _ in 0..10 * count {
        client.send(request("/big/v1/big"));
        assert_eq!(client.answer().body.len(), BIG_BYTES);
    }
}

/// Clients that come and go, with or without sending anything. Nothing may be left of them.
pub fn coming_and_going(proxy: &Proxy, count: usize) {
    let before = clients(proxy);
    for number in 0..count {
        let mut stream = connect(proxy);
        if number % 3 == 1 {
            let _ = stream.write_all(b"POST /big/v1/x HTTP/1.1\r\nHost: ");
        }
        if number % 3 == 2 {
            let _ = stream.write_all(request("/big/v1/big").as_bytes());
        }
        if number % 2 == 0 {
            socket2::SockRef::from(&stream)
                .set_linger(Some(Duration::ZERO))
                .expect("an option can be set");
        }
    }
    let until = Instant::now() + PATIENCE;
    while clients(proxy) > before {
        assert!(Instant::now() < until, "{} of {before}", clients(proxy));
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// Answers of platforms whose heads never end.
pub fn endless_heads(proxy: &Proxy, count: usize) {
    for (path, want) in [
        ("/endless/v1/fields", "502"),
        ("/endless/v1/line", "502"),
        ("/endless/v1/interim", "103"),
        ("/endless/v1/drip", "504"),
    ] {
        let mut streams: Vec<TcpStream> = (0..count).map(|_| connect(proxy)).collect();
        let asked = closing(path);
        for stream in &mut streams {
            stream.write_all(asked.as_bytes()).expect("it reads");
        }
        for stream in &mut streams {
            let answer = read_out(stream);
            let text = String::from_utf8_lossy(&answer);
            // A platform that gets too little CPU time does not get that far.
            assert!([want, "504"].contains(&status(&answer)), "{path}: {text}");
            if path.ends_with("interim") {
                let finals = text.matches("HTTP/1.1 502 ").count();
                assert_eq!(finals, 1, "{text}");
            }
        }
    }
}

/// A platform that accepts connections and does not continue the TLS handshake.
pub fn stalled_platform_handshakes(proxy: &Proxy, count: usize) {
    let mut streams: Vec<TcpStream> = (0..count).map(|_| connect(proxy)).collect();
    let asked = closing("/silent/v1/x");
    for stream in &mut streams {
        stream.write_all(asked.as_bytes()).expect("it reads");
    }
    for stream in &mut streams {
        let answer = read_out(stream);
        let text = String::from_utf8_lossy(&answer);
        assert_eq!(status(&answer), "504", "{text}");
    }
}

/// Uploads in chunks of one byte each.
pub fn one_byte_chunks(proxy: &Proxy, count: usize) {
    let head = request("/big/v1/count")
        .replace("GET", "POST")
        .replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n");
    let body = "1\r\nx\r\n".repeat(CHUNKS) + "0\r\n\r\n";
    let mut clients: Vec<_> = (0..count).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.send(&head);
        client.send(&body);
    }
    for client in &mut clients {
        assert_eq!(client.answer().text(), CHUNKS.to_string());
    }
}

/// Chunk extensions and trailers that never end.
pub fn endless_chunk_lines(proxy: &Proxy, count: usize) {
    for beginning in ["5;a=", "0\r\nx-trailer: "] {
        let head = request("/big/v1/count")
            .replace("GET", "POST")
            .replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..count {
            let mut stream = connect(proxy);
            let beginning = format!("{head}{beginning}");
            stream.write_all(beginning.as_bytes()).expect("it reads");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
            let answer = read_out(&mut stream);
            // A reset may have overtaken the answer, since the client does not stop sending.
            assert!(
                ["400", ""].contains(&status(&answer)),
                "{}",
                String::from_utf8_lossy(&answer)
            );
        }
    }
}

/// Thousands of tiny requests at once.
pub fn pipelined(proxy: &Proxy, count: usize) {
    for _ in 0..count {
        let mut stream = connect(proxy);
        let mut writer = stream.try_clone().expect("a second handle");
        let sender = std::thread::spawn(move || {
            let requests = "GET / HTTP/1.1\r\nHost: p\r\n\r\n".repeat(PIPELINED - 1);
            let last = "GET / HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n";
            writer
                .write_all((requests + last).as_bytes())
                .expect("it reads");
        });
        let answers = String::from_utf8(read_out(&mut stream)).expect("text");
        assert_eq!(answers.matches("HTTP/1.1 302 Found\r\n").count(), PIPELINED);
        sender.join().expect("it does not panic");
    }
}
