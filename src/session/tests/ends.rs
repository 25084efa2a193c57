//! How the connections of a session end: in order, or by a reset.

use super::*;

const SWITCH: &[u8] = b"GET /p/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer client-key-1\r\n\
    Connection: upgrade\r\nUpgrade: websocket\r\n\r\n";

const SWITCHED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

/// More than the kernel holds for one connection.
const MUCH: usize = 1_000_000;

/// What ends a session.
#[derive(Clone, Copy, Debug)]
enum By {
    /// The client has ended its direction, and then the platform.
    BothSides,
    /// The client has gone.
    Client,
    /// A stop, while the client still has this much to take.
    Stop { behind_bytes: usize },
}

/// Whether the client's and the platform's connection are reset.
fn resets(request: &[u8], answer: &[u8], by: By) -> (bool, bool) {
    let (mut core, now) = (core("{}", PLATFORM), now());
    let (mut session, mut theirs, client) = seen_client(now);
    let (connection, mut platform, upstream) = seen_connection(Token(1), now);
    let network = &mut Wired(Some(connection));
    let mut go_on = |session: &mut Session| {
        session.hint_client(Hints::FRESH);
        session.hint_upstream(Token(1), Hints::FRESH);
        drive(session, &mut core, network, now).1
    };
    theirs.write_all(request).expect("there is room");
    assert!(go_on(&mut session).is_none());
    platform.write_all(answer).expect("there is room");
    assert!(go_on(&mut session).is_none());
    let end = |socket: &UnixStream| {
        let ended = socket.shutdown(std::net::Shutdown::Write);
        ended.expect("it is open");
    };
    let reason = match by {
        By::BothSides => {
            end(&theirs);
            assert!(go_on(&mut session).is_none());
            end(&platform);
            go_on(&mut session)
        }
        By::Client => {
            end(&theirs);
            session.hint_client(Hints::new(true, true, true));
            go_on(&mut session)
        }
        By::Stop { behind_bytes } => {
            platform.set_nonblocking(true).expect("a socket may");
            let mut left = behind_bytes;
            while left > 0 {
                left -= platform.write(&vec![b'x'; left]).unwrap_or(0);
                assert!(go_on(&mut session).is_none());
                if session.client.has_output() {
                    break;
                }
            }
            Some(Reason::Stopping)
        }
    };
    let reason = reason.expect("it is to be closed");
    session.close(0, &reason, &mut core, network, now);
    (client.is_reset.get(), upstream.is_reset.get())
}

/// The request, the answer, what ends them, whether client and platform get a reset.
type Row = (&'static [u8], &'static [u8], By, (bool, bool));

#[test]
fn nobody_takes_for_whole_what_was_cut_off_and_what_was_said_last_arrives() {
    let until_close = b"HTTP/1.0 200 OK\r\n\r\nwords";
    let counted = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwords";
    let idle = By::Stop { behind_bytes: 0 };
    let behind = By::Stop { behind_bytes: MUCH };
    let rows: [Row; 6] = [
        (SWITCH, SWITCHED, By::BothSides, (false, false)),
        (SWITCH, SWITCHED, idle, (false, false)),
        (SWITCH, SWITCHED, behind, (true, false)),
        (REQUEST, counted, By::Client, (false, true)),
        (REQUEST, counted, idle, (false, true)),
        (REQUEST, until_close, idle, (true, true)),
    ];
    for (number, (request, answer, by, want)) in rows.into_iter().enumerate() {
        assert_eq!(resets(request, answer, by), want, "row {number}: {by:?}");
    }
}

/// The only news of the answer is the write that failed.
#[test]
fn the_answer_of_a_platform_that_takes_no_request_is_read() {
    let (mut core, now) = (core("{}", PLATFORM), now());
    let (mut session, mut theirs) = client(now);
    let (ours, mut platform) = UnixStream::pair().expect("a pair of sockets");
    let answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno\n";
    platform.write_all(answer).expect("there is room");
    drop(platform);
    let transport = Transport::Link(Box::new(Pipe(ours, Rc::default())));
    let writable = Hints::new(false, true, false);
    let connection = Connection::new(transport, Token(1), writable, now);
    theirs.write_all(REQUEST).expect("there is room");
    let (defects, _) = drive(&mut session, &mut core, &mut Wired(Some(connection)), now);
    assert_eq!(defects, 0);
    drop(session);
    let mut text = String::new();
    theirs.read_to_string(&mut text).expect("the answer ends");
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
    assert!(text.ends_with("\r\n\r\nno\n"), "{text}");
}
