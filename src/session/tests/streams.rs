//! Which sessions come first in a turn, and what tiny pieces cost.

use super::*;
use crate::base::buffer::ROOM_BYTES_MIN;

/// A chunk of this many bytes.
fn chunk(length: usize) -> Vec<u8> {
    format!("{length:x}\r\n{}\r\n", "x".repeat(length)).into_bytes()
}

#[test]
fn a_stream_is_an_answer_of_which_little_comes_and_whose_client_keeps_up() {
    let (mut core, now) = (core("{}", PLATFORM), now());
    let (mut session, mut theirs) = client(now);
    let (connection, mut platform) = connection(Token(1), now);
    let mut network = Wired(Some(connection));
    theirs.write_all(REQUEST).expect("there is room");
    theirs.set_nonblocking(true).expect("a socket may");
    let mut pass_on = |bytes: &[u8], is_read: bool| {
        platform.write_all(bytes).expect("there is room");
        session.hint_upstream(Token(1), Hints::FRESH);
        session.hint_client(Hints::FRESH);
        let (_, closed) = drive(&mut session, &mut core, &mut network, now);
        assert!(closed.is_none(), "{closed:?}");
        while is_read && theirs.read(&mut [0; 65536]).is_ok() {}
        session.is_stream()
    };
    assert!(!pass_on(b"", true), "nothing has come");
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    pass_on(head, true);
    assert!(pass_on(&chunk(100), true));
    assert!(!pass_on(&chunk(60_000), true), "much has come");
    while !pass_on(&chunk(100), true) {}
    // Much more than the kernel holds.
    for _ in 0..10 {
        pass_on(&chunk(40_000), false);
    }
    for _ in 0..10 {
        assert!(!pass_on(b"", false), "the client is behind");
    }
    pass_on(b"", true);
    while !pass_on(&chunk(100), true) {}
    session.close(0, &Reason::Stopping, &mut core, &mut network, now);
}

#[test]
fn what_comes_behind_a_request_is_left_to_the_kernel_until_its_turn() {
    let (mut core, now) = (core("{}", PLATFORM), now());
    let (mut session, mut theirs, seen) = seen_client(now);
    let (connection, _platform) = connection(Token(1), now);
    let mut network = Wired(Some(connection));
    for _ in 0..2 {
        theirs.write_all(REQUEST).expect("there is room");
        session.hint_client(Hints::FRESH);
        let (_, closed) = drive(&mut session, &mut core, &mut network, now);
        assert!(closed.is_none(), "{closed:?}");
        assert_eq!(seen.read_bytes.get(), REQUEST.len());
    }
    session.close(0, &Reason::Stopping, &mut core, &mut network, now);
}

#[test]
fn tiny_chunks_that_wait_take_no_reads_of_their_own() {
    let (mut core, now) = (core("{}", PLATFORM), now());
    let (mut session, mut theirs, seen) = seen_client(now);
    let (connection, mut platform) = connection(Token(1), now);
    let mut network = Wired(Some(connection));
    theirs.set_nonblocking(true).expect("a socket may");
    platform.set_nonblocking(true).expect("a socket may");
    let head = "POST /p/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer client-key-1\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    let sent = head.to_string() + &"1\r\nx\r\n".repeat(50_000) + "0\r\n\r\n";
    let (mut left, mut got, mut waits) = (sent.as_bytes(), Vec::new(), 0);
    while !got.ends_with(b"x\r\n0\r\n\r\n") {
        if let Ok(count) = theirs.write(left) {
            left = &left[count..];
        }
        session.hint_client(Hints::FRESH);
        session.hint_upstream(Token(1), Hints::FRESH);
        let (_, closed) = drive(&mut session, &mut core, &mut network, now);
        assert!(closed.is_none(), "{closed:?}");
        let _ = platform.read_to_end(&mut got);
        waits += 1;
    }
    let (reads, reads_max) = (seen.reads.get(), waits + sent.len() / ROOM_BYTES_MIN);
    assert!(
        reads <= reads_max,
        "{reads} reads, {waits} of them after a wait"
    );
    session.close(0, &Reason::Stopping, &mut core, &mut network, now);
}
