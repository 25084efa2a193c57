//! How much is kept of a request, and what becomes of it.

use super::*;

/// Much more of a body that has outgrown its bound may still arrive, and slowly.
#[test]
fn what_streams_through_holds_no_memory() {
    for kept_bytes_max in [1_000_000, 100_000] {
        let limits = Limits {
            kept_bytes_max,
            content_bytes_max: 300_000,
            ..PLENTY
        };
        let mut bench = Bench::new(Framing::Chunked, limits, 1_000_000);
        bench.begin();
        for _ in 0..200 {
            bench.input.put(b"3e8\r\n");
            bench.input.put(&[b'a'; 1000]);
            bench.input.put(b"\r\n");
            bench.pump().expect("within its bounds");
            bench.output.consume(bench.output.len());
        }
        assert_eq!(bench.held_bytes() > 0, bench.upload.is_kept());
        assert_eq!(bench.upload.is_kept(), kept_bytes_max > 200_000);
        bench.discard();
    }
}

fn others_keep(bytes: usize, core: &mut Core) -> Upload {
    let body = vec![b'a'; bytes];
    Upload::complete(HEAD, &body, &mut core.blocks, &core.retry_memory)
}

/// Other requests use up the memory while this body is on its way.
#[test]
fn all_kept_bodies_together_stay_within_their_bound() {
    let mut bench = Bench::new(Framing::Length(60_000), limits(100_000), 70_000);
    bench.upload.limits.content_bytes_max = 100_000;
    let others = others_keep(50_000, &mut bench.core);
    bench.begin();
    for _ in 0..3 {
        bench.input.put(&[b'a'; 20_000]);
        bench.pump().expect("within its bounds");
        assert!(bench.core.retry_memory.used() <= 70_000);
        bench.output.consume(bench.output.len());
        bench.pump().expect("within its bounds");
    }
    assert!(bench.upload.is_done() && !bench.upload.is_kept());
    drop(others);
    bench.discard();
}

#[test]
fn a_large_body_that_is_not_kept_needs_a_connection_that_is_alive() {
    // (framing, how much may be kept, which connection will do)
    let rows = [
        (Framing::None, 0, Reuse::Yes),
        (Framing::Length(1), 0, Reuse::Yes),
        (Framing::Length(LARGE_BYTES_MIN - 1), 0, Reuse::Yes),
        (Framing::Length(LARGE_BYTES_MIN), 0, Reuse::Recent),
        (Framing::Length(1 << 30), 1 << 20, Reuse::Recent),
        (Framing::Length(1 << 20), 1 << 20, Reuse::Yes),
        (Framing::Chunked, 0, Reuse::Yes),
    ];
    for (framing, kept_bytes_max, want) in rows {
        let bench = Bench::new(framing, limits(kept_bytes_max), u64::MAX);
        let reuse = bench.upload.connection_reuse();
        assert_eq!(reuse, want, "{framing:?} {kept_bytes_max}");
        bench.discard();
    }
}

#[test]
fn what_came_before_a_connection_outlasts_one_that_comes_to_nothing() {
    // (how much may be kept of this body, and of all together)
    for (kept_bytes_max, memory_max) in [(5, 1000), (1000, 5)] {
        let mut bench = Bench::new(Framing::Chunked, limits(kept_bytes_max), memory_max);
        for piece in ["3\r\nabc\r\n", "3\r\ndef\r\n", "3\r\nghi\r\n0\r\n\r\n"] {
            bench.input.put(piece.as_bytes());
            bench.collect().expect("within its bounds");
        }
        assert!(!bench.input.is_empty(), "it waits at the client");
        assert!(bench.upload.is_repeatable());
        bench.begin();
        assert_eq!(bench.pump().expect("within its bounds"), Stopped::Done);
        assert!(!bench.upload.is_repeatable());
        let sent = drain(&mut bench.output);
        assert_eq!(body_of(Framing::Chunked, &sent), "abcdefghi");
        bench.discard();
    }
}
