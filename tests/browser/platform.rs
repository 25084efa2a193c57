//! A platform whose keys can be revoked while it runs.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// It answers every request with an empty list of models, or 401 to a revoked key. Its thread ends with the test.
pub struct Platform {
    port: u16,
    revoked: Arc<Mutex<Vec<String>>>,
}

impl Platform {
    pub fn start() -> Platform {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener
            .local_addr()
            .expect("a listener has an address")
            .port();
        let revoked = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&revoked);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let revoked = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &revoked));
            }
        });
        Platform { port, revoked }
    }

    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn revoke(&self, key: &str) {
        self.revoked
            .lock()
            .expect("no thread panicked")
            .push(format!("authorization: bearer {key}"));
    }
}

/// One request per connection; none of them has a body.
fn serve(mut stream: TcpStream, revoked: &Mutex<Vec<String>>) {
    let mut refused = false;
    for line in BufReader::new(&stream)
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
    {
        refused |= revoked
            .lock()
            .expect("no thread panicked")
            .contains(&line.to_ascii_lowercase());
    }
    let (status, body) = match refused {
        true => (
            "401 Unauthorized",
            r#"{"error": {"message": "This key was revoked."}}"#,
        ),
        false => ("200 OK", r#"{"object": "list", "data": []}"#),
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    let _ = stream.write_all(answer.as_bytes());
}
