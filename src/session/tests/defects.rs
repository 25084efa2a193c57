//! What becomes of a request when a defect in the program ends its step.

use super::*;

#[test]
fn a_request_that_a_defect_ends_is_answered_and_its_permit_settled() {
    let (mut core, now) = (core("{}", PLATFORM), now());
    let (mut session, mut theirs) = client(now);
    theirs.write_all(REQUEST).expect("there is room");
    let (defects, closed) = drive(&mut session, &mut core, &mut Defective(None), now);
    assert!(closed.is_none(), "{closed:?}");
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
    assert_eq!((in_flight(&core, now), core.retry_memory.used()), (0, 0));
    // The answer has been sent: nothing more can be said.
    let driven = session.recover(0, &mut core, &mut Defective(None), now);
    assert!(matches!(driven, Driven::Close(Reason::Bug)));
}

#[test]
fn a_probe_that_a_defect_ends_is_no_longer_under_way() {
    // (whether the step itself fails and takes the whole exchange with it, or the network that it uses)
    for is_in_step in [false, true] {
        let (mut core, now) = (core("{}", PLATFORM), now());
        assert!(core.probes.begin_round(now));
        let (place, key) = core.probes.next(now).expect("it is due");
        let exchange = Exchange::probe(place, key, &mut core, now);
        let mut session = Session::probe(Token(0), key, exchange, now);
        // An empty keyring knows no key: asking it for this one is a defect.
        let keyring = is_in_step.then(|| std::mem::take(&mut core.keyring));
        let (defects, closed) = drive(&mut session, &mut core, &mut Defective(None), now);
        assert_eq!(defects, 1);
        let reason = closed.expect("a probe ends with its answer");
        core.keyring = keyring.unwrap_or(core.keyring);
        session.close(0, &reason, &mut core, &mut Defective(None), now);
        assert!(!core.probes.is_in_round(), "{is_in_step}");
        let again = core.probes.deadline().expect("it is probed again");
        let later = now.after(again.duration_since(now.instant));
        assert_eq!(core.probes.next(later), Some((place, key)));
    }
}

#[test]
fn what_a_defect_swallows_is_no_longer_counted() {
    let (mut core, now) = (core("{}", PLATFORM), now());
    let (mut session, mut theirs) = client(now);
    let (connection, mut platform) = connection(Token(1), now);
    let network = &mut Wired(Some(connection));
    theirs.write_all(REQUEST).expect("there is room");
    let (defects, closed) = drive(&mut session, &mut core, network, now);
    assert!(defects == 0 && closed.is_none(), "{closed:?}");
    assert_eq!((in_flight(&core, now), core.retry_memory.used()), (1, 2));
    let answer = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n";
    platform.write_all(answer).expect("there is room");
    session.hint_upstream(Token(1), Hints::FRESH);
    // Asking an empty keyring for another key is a defect, at a moment when the step holds body and permit.
    let keyring = std::mem::take(&mut core.keyring);
    let (defects, closed) = drive(&mut session, &mut core, network, now);
    assert!(defects == 1 && closed.is_none(), "{closed:?}");
    core.keyring = keyring;
    assert_eq!((in_flight(&core, now), core.retry_memory.used()), (0, 0));
}

/// A platform's connection that gives as much of `answer` as a first read takes, once something has been written to it;
/// any later read is a defect.
struct Collapsing {
    answer: Option<Vec<u8>>,
    is_asked: bool,
}

impl Read for Collapsing {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if !self.is_asked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = self.answer.take().expect("a defect in read");
        bytes.as_slice().read(space)
    }
}

impl Write for Collapsing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.is_asked = true;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link for Collapsing {
    fn shutdown(&mut self) {}

    fn reset(&mut self) {}
}

/// What a client gets that sends `sent`, with this network; and why its connection is to be closed, if it is.
fn answers(sent: &[u8], network: &mut impl Network, now: Now) -> (String, Option<Reason>) {
    let mut core = core("{}", PLATFORM);
    let (mut session, mut theirs, seen) = seen_client(now);
    theirs.write_all(sent).expect("there is room");
    let (mut defects, mut closed) = drive(&mut session, &mut core, network, now);
    if defects == 0 {
        session.hint_upstream(Token(1), Hints::FRESH);
        (defects, closed) = drive(&mut session, &mut core, network, now);
    }
    assert_eq!(defects, 1);
    if let Some(reason) = &closed {
        session.close(0, reason, &mut core, &mut Wired(None), now);
        assert!(seen.is_reset.get(), "it must not look whole");
    }
    assert_eq!((in_flight(&core, now), core.retry_memory.used()), (0, 0));
    let mut got = String::new();
    theirs.read_to_string(&mut got).expect("the answer ends");
    (got, closed)
}

#[test]
fn what_a_defect_leaves_of_an_answer_is_replaced_until_some_of_it_has_left() {
    let now = now();
    let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec();
    let mut begun = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".to_vec();
    begun.resize(BUFFER_BYTES, b'x');
    // (what the platform sends before the defect, if anything; whether some of that has been sent on)
    for (answer, is_cut) in [(None, false), (Some(whole), false), (Some(begun), true)] {
        let is_asked = false;
        let link = Transport::Link(Box::new(Collapsing { answer, is_asked }));
        let connection = Connection::new(link, Token(1), Hints::FRESH, now);
        let (got, closed) = answers(REQUEST, &mut Defective(Some(connection)), now);
        assert_eq!(got.matches("HTTP/1.1 ").count(), 1, "{got}");
        let is_told = got.starts_with("HTTP/1.1 500 ");
        assert_eq!((is_told, closed.is_some()), (!is_cut, is_cut));
    }
}

#[test]
fn a_defect_is_not_told_in_the_place_of_an_earlier_answer() {
    let sent = [b"GET /routes HTTP/1.1\r\nHost: h\r\n\r\n", REQUEST].concat();
    let (got, closed) = answers(&sent, &mut Defective(None), now());
    assert!(matches!(closed, Some(Reason::Bug)), "{closed:?}");
    assert!(!got.contains("HTTP/1.1 500 "), "{got}");
}

#[test]
fn a_lone_answer_leaves_before_its_connection_is_put_away() {
    let (mut core, now) = (core("{}", PLATFORM), now());
    let (mut session, mut theirs) = client(now);
    let (connection, mut platform) = connection(Token(1), now);
    let network = &mut Defective(Some(connection));
    theirs.write_all(REQUEST).expect("there is room");
    let (defects, closed) = drive(&mut session, &mut core, network, now);
    assert!(defects == 0 && closed.is_none(), "{closed:?}");
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    platform.write_all(answer).expect("there is room");
    session.hint_upstream(Token(1), Hints::FRESH);
    let driven = catch_unwind(AssertUnwindSafe(|| {
        session.drive(0, SHARE_BYTES_MAX, true, &mut core, network, now)
    }));
    assert!(driven.is_err(), "a release is a defect");
    theirs.set_nonblocking(true).expect("a socket may");
    let mut read = [0; 1024];
    let count = theirs.read(&mut read).expect("the answer is there");
    assert!(read[..count].ends_with(b"\r\n\r\nok"));
}
