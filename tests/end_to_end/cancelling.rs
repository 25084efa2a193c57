//! A client that closes, half-closes or resets has left: its request at the platform is ended at once with a reset,
//! which no platform can mistake for the end of a request that is still to be answered. Only one that has received the
//! last event of a stream cancels nothing.

use std::sync::{Mutex, mpsc};

use serde_json::json;

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::platform::{End, Platform};
use crate::support::proxy::{Proxy, ROOT_KEY};

/// What the platform does before it falls silent.
#[derive(Clone, Copy, Debug)]
enum Until {
    Nothing,
    Head,
    Piece,
    /// More than the sockets between the platform and a client that does not read can hold.
    Flood,
}

/// A way to leave; a connection that is only half closed is kept.
type Leave = fn(Client) -> Option<Client>;

fn silent_platform(until: Until) -> (Platform, mpsc::Receiver<Option<End>>) {
    let (sender, cuts) = mpsc::channel();
    let platform = Platform::raw(move |_, line, seen| {
        let Some(head) = line.head() else { return };
        if head.contains("/v1/probe") {
            return line.answer("200 OK", "{}");
        }
        let _ = seen.send(crate::support::platform::Seen {
            head,
            body: Vec::new(),
            connection: 0,
        });
        if !matches!(until, Until::Nothing) {
            line.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        }
        if matches!(until, Until::Piece) {
            line.send("3\r\nabc\r\n");
        }
        let mut taken = true;
        if matches!(until, Until::Flood) {
            let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            // It ends when the proxy cuts the connection: the client does not read.
            while taken {
                taken = line.send(&piece);
            }
        }
        // A failed send has already reported the reset.
        let end = if taken { line.end() } else { Some(End::Reset) };
        let _ = sender.send(end);
    });
    (platform, cuts)
}

const WAYS_TO_LEAVE: [(&str, Leave); 3] = [
    ("close", |client| {
        drop(client);
        None
    }),
    ("half-close", |mut client| {
        client.half_close();
        Some(client)
    }),
    ("reset", |client| {
        client.reset();
        None
    }),
];

fn ask(proxy: &Proxy) -> Client {
    let mut client = proxy.connect();
    client.send(format!(
        "GET /test/x HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\n\r\n"
    ));
    client
}

#[test]
fn each_way_of_leaving_at_each_moment() {
    for until in [Until::Nothing, Until::Head, Until::Piece, Until::Flood] {
        let (platform, cuts) = silent_platform(until);
        let proxy = Proxy::start(&json!([platform.entry(&["platform-key-1"])]));
        // After this page the initial probes are over.
        proxy.page("/health");
        for (way, leave) in WAYS_TO_LEAVE {
            let mut client = ask(&proxy);
            platform.next();
            match until {
                Until::Nothing => {}
                Until::Head | Until::Flood => drop(client.head()),
                Until::Piece => {
                    client.head();
                    client.chunk();
                }
            }
            let kept = leave(client);
            let cut = cuts
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("{way} {until:?}"));
            assert_eq!(cut, Some(End::Reset), "{way} {until:?}");
            drop(kept);
        }
        let stats = proxy.page("/stats");
        let key = &stats["platforms"]["test"]["keys"][0];
        assert_eq!(key["status"], "healthy", "the key is not to blame: {key}");
        assert_eq!(key["errors"]["canceled"], 3, "{key}");
        assert_eq!(key["in_flight"], 0);
        assert_eq!(stats["connections"]["upstreams"], 0, "{stats}");
        let status = match until {
            Until::Nothing => json!(null),
            Until::Head | Until::Piece | Until::Flood => json!(200),
        };
        for request in stats["recent"].as_array().expect("requests") {
            let told = (&request["status"], &request["code"]);
            assert_eq!(told, (&status, &json!("canceled")), "{until:?}");
        }
    }
}

#[test]
fn a_body_that_stops_half_way_is_not_sent_on_without_its_client() {
    let (platform, cuts) = silent_platform(Until::Nothing);
    let proxy = Proxy::start(&json!([platform.entry(&["platform-key-1"])]));
    let mut client = proxy.connect();
    client.send(format!(
        "POST /test/x HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\nContent-Length: 100\r\n\r\nhalf"
    ));
    platform.next();
    drop(client);
    let cut = cuts.recv_timeout(PATIENCE).expect("it is cut");
    assert_eq!(cut, Some(End::Reset));
}

/// An answer up to its last event, without the end of its body.
const LAST_EVENT: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
    e\r\ndata: [DONE]\n\n\r\n";

/// A client that has received it.
fn client_with_last_event(proxy: &Proxy) -> Client {
    let mut client = proxy.connect();
    client.send(format!(
        "POST /test/x HTTP/1.1\r\nHost: p\r\nx-api-key: {ROOT_KEY}\r\nContent-Length: 0\r\n\r\n"
    ));
    client.head();
    assert_eq!(client.chunk(), b"data: [DONE]\n\n");
    client
}

/// OpenAI's SDK for Python closes its connection with the last event, before the end of the body.
#[test]
fn who_leaves_with_the_last_event_cancels_nothing() {
    let (go_on, left) = mpsc::channel();
    let (used, connections) = mpsc::channel();
    let left = Mutex::new(left);
    let platform = Platform::raw(move |connection, line, _| {
        while let Some(head) = line.head() {
            if head.contains("/v1/probe") {
                line.answer("200 OK", "{}");
                continue;
            }
            line.send(LAST_EVENT);
            let left = left.lock().expect("nobody has panicked");
            left.recv().expect("the test goes on");
            line.send("0\r\n\r\n");
            used.send(connection).expect("the test goes on");
        }
    });
    let proxy = Proxy::start(&json!([platform.entry(&["platform-key-1"])]));
    proxy.page("/health");
    let mut used = Vec::new();
    for (way, leave) in WAYS_TO_LEAVE {
        let kept = leave(client_with_last_event(&proxy));
        // The client has left when this page is made, and the body has ended when the next one is.
        let under_way = &proxy.page("/stats")["platforms"]["test"]["keys"][0]["in_flight"];
        assert_eq!(under_way, 1, "{way}: the end of the body is awaited");
        go_on.send(()).expect("the platform waits");
        used.push(connections.recv_timeout(PATIENCE).expect(way));
        let stats = proxy.page("/stats");
        let key = &stats["platforms"]["test"]["keys"][0];
        let figures = [&key["in_flight"], &key["errors"]["canceled"]];
        assert_eq!(figures, [0, 0], "{way}: {key}");
        let last = &stats["recent"][0];
        assert_eq!(
            (&last["status"], &last["code"]),
            (&json!(200), &json!(null))
        );
        drop(kept);
    }
    assert!(used.iter().all(|connection| *connection == used[0]));
}

/// Its client has left with the last event, and nothing tells of this session any more but the time.
#[test]
fn an_end_that_never_comes_is_not_awaited_for_long() {
    let (sender, cuts) = mpsc::channel();
    let platform = Platform::raw(move |_, line, _| {
        let Some(head) = line.head() else { return };
        if head.contains("/v1/probe") {
            return line.answer("200 OK", "{}");
        }
        line.send(LAST_EVENT);
        let _ = sender.send(line.end());
    });
    let proxy = Proxy::start(&json!([platform.entry(&["platform-key-1"])]));
    for (way, leave) in WAYS_TO_LEAVE {
        let kept = leave(client_with_last_event(&proxy));
        let cut = cuts.recv_timeout(PATIENCE).expect(way);
        assert_eq!(cut, Some(End::Reset), "{way}");
        drop(kept);
    }
    let stats = proxy.page("/stats");
    let key = &stats["platforms"]["test"]["keys"][0];
    assert_eq!(
        [&key["in_flight"], &key["errors"]["canceled"]],
        [0, 0],
        "{key}"
    );
}
