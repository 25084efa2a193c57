//! How much is kept of a request, and what becomes of it.

use super::*;
use crate::base::buffer::BUFFER_BYTES;

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
        assert_eq!(bench.held_bytes() > 0, bench.upload.is_repeatable());
        assert_eq!(bench.upload.is_repeatable(), kept_bytes_max > 200_000);
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
    assert!(bench.upload.is_done() && !bench.upload.is_repeatable());
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

#[test]
fn the_beginning_of_a_body_that_is_too_large_can_be_sent_again_until_more_has_been_sent() {
    let body: Vec<u8> = (0..1_000_000_u32).map(|byte| (byte % 251) as u8).collect();
    // (how much may be kept of this body, and of all together; how much of it is)
    for (kept_bytes_max, memory_max, bound) in [
        (900_000, 10_000_000, BEGINNING_BYTES_MAX),
        (2_000_000, 1_000_000, BEGINNING_BYTES_MAX),
        (100_000, 10_000_000, 100_000),
        (900_000, 200_000, 0),
    ] {
        let limits = Limits {
            kept_bytes_max,
            content_bytes_max: 1_000_000,
            ..PLENTY
        };
        let mut bench = Bench::new(Framing::Length(1_000_000), limits, memory_max);
        bench.begin();
        let mut given = 0;
        // The platform takes nothing.
        for _ in 0..20 {
            given += bench.input.append(&body[given..]);
            bench.pump().expect("within its bounds");
        }
        assert!(!bench.input.is_empty(), "the client waits");
        let used = bench.core.retry_memory.used();
        assert!(
            bench.upload.is_repeatable() && used >= bound,
            "{used} {bound}"
        );
        assert!(used <= memory_max && used <= bound + 2 * BUFFER_BYTES as u64);
        drain(&mut bench.output);
        bench.begin();
        let mut sent = Vec::new();
        while !bench.upload.is_done() {
            given += bench.input.append(&body[given..]);
            bench.pump().expect("within its bounds");
            sent.extend(drain(&mut bench.output));
            let all_kept = bench.core.retry_memory.used() as usize + SENT_HEAD.len();
            assert_eq!(bench.upload.is_repeatable(), sent.len() <= all_kept);
        }
        assert!(sent.ends_with(&body) && sent.len() == SENT_HEAD.len() + body.len());
        assert_eq!((bench.held_bytes(), bench.core.retry_memory.used()), (0, 0));
        bench.discard();
    }
}
