//! What a defect does to a session: the network of these tests is one.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::exchange::testing::{core, now};
use crate::net::transport::Link;

const PLATFORM: &str = r#""base_url": "http://192.0.2.1""#;

/// A client's end of its connection.
struct Pipe(UnixStream);

impl Read for Pipe {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.0.read(space)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link for Pipe {
    fn shutdown(&mut self) {
        let _ = self.0.shutdown(std::net::Shutdown::Write);
    }

    fn reset(&mut self) {}
}

/// Fails at whatever it is asked for.
struct Defective;

impl Network for Defective {
    fn dial(&mut self, _: &Rc<Endpoint>, _: usize, _: &mut BlockPool, _: Now) -> Dialed {
        panic!("a defect in dial")
    }

    fn dial_fresh(&mut self, _: &Rc<Endpoint>, _: usize, _: &mut BlockPool, _: Now) -> Dialed {
        panic!("a defect in dial_fresh")
    }

    fn resume(&mut self, _: Dial, _: usize, _: &mut BlockPool, _: Now) -> Dialed {
        panic!("a defect in resume")
    }

    fn release(&mut self, _: &Endpoint, _: Connection, _: Now) {
        panic!("a defect in release")
    }

    fn hangup(&mut self, _: Connection) {}

    fn abandon(&mut self, _: Dial, _: usize) {}
}

#[test]
fn a_request_that_a_defect_ends_is_answered_and_its_permit_settled() {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
    ours.set_nonblocking(true).expect("a socket may");
    let (mut core, now) = (core("{}", PLATFORM), now());
    let client = Transport::Link(Box::new(Pipe(ours)));
    let client = Connection::new(client, Token(0), Hints::FRESH, now);
    let mut session = Session::new(client, [127, 0, 0, 1].into(), Role::Proxy, now);
    let head = "POST /p/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer client-key-1\r\n";
    let body = "Content-Length: 2\r\n\r\n{}";
    write!(theirs, "{head}{body}").expect("there is room");
    let mut defects = 0;
    loop {
        let network = &mut Defective;
        let driven = catch_unwind(AssertUnwindSafe(|| {
            session.drive(0, &mut core, network, now)
        }));
        let driven = driven.unwrap_or_else(|_| {
            defects += 1;
            session.recover(0, &mut core, network, now)
        });
        match driven {
            Driven::Again => {}
            Driven::Waiting(_) => break,
            Driven::Close(reason) => panic!("{}", reason.message()),
        }
    }
    assert_eq!(defects, 1);
    let mut answer = String::new();
    theirs.read_to_string(&mut answer).expect("the answer ends");
    assert!(
        answer.starts_with("HTTP/1.1 500 Internal Server Error\r\n"),
        "{answer}"
    );
    for part in ["x-proxy-error: internal_error\r\n", "connection: close\r\n"] {
        assert!(answer.contains(part), "{answer}");
    }
    let platform = core.site.routes[0].id;
    let in_flight: u32 = core
        .keyring
        .views(platform, now)
        .map(|key| key.in_flight)
        .sum();
    assert_eq!((in_flight, core.retry_memory.used), (0, 0));
    // The answer has left: nothing more can be said.
    let driven = session.recover(0, &mut core, &mut Defective, now);
    assert!(matches!(driven, Driven::Close(Reason::Bug)));
}
