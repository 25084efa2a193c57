//! How a property reads its input: a few bytes that make choices, steps, pieces.

use std::fmt::Debug;
use std::time::Instant;

use ai_api_proxy::base::now::Now;

/// Begins a step. It occurs in no UTF-8 text, and in a head it is treated like every other byte above 0x7f.
const STEP: u8 = 0xff;

/// An input up to this length is also passed byte by byte.
const BYTEWISE_BYTES_MAX: usize = 600;

/// Takes the first `N` bytes off `data`; missing ones are zero.
pub fn choices<const N: usize>(data: &mut &[u8]) -> [u8; N] {
    let mut taken = [0; N];
    let count = data.len().min(N);
    taken[..count].copy_from_slice(&data[..count]);
    *data = &data[count..];
    taken
}

/// The steps of `data`: what each is, and its bytes.
pub fn steps(data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    data.split(|byte| *byte == STEP)
        .filter_map(|step| step.split_first())
        .map(|(kind, bytes)| (*kind, bytes))
}

/// Passes `bytes` to `run` whole, in pieces of sizes drawn from `seed`, and, if they are few, one by one. The result
/// must always be the same, and is returned. Empty input is passed as one piece.
pub fn in_any_cut<T: Debug + PartialEq>(
    bytes: &[u8],
    seed: u8,
    mut run: impl FnMut(&[&[u8]]) -> T,
) -> T {
    let whole = run(&[bytes]);
    if bytes.is_empty() {
        return whole;
    }
    assert_eq!(run(&pieces(bytes, seed)), whole, "cut by {seed}");
    if bytes.len() <= BYTEWISE_BYTES_MAX {
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(run(&single), whole, "byte by byte");
    }
    whole
}

/// `bytes` in pieces; a low seed yields small ones.
pub fn pieces(mut bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut state = u32::from(seed) * 2 + 1;
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        state = state.wrapping_mul(0x9e37_79b1).rotate_left(11);
        let size = 1 + state as usize % (usize::from(seed) + 2);
        let (piece, rest) = bytes.split_at(size.min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// 2026-09-21T14:13:20Z by the wall clock; the monotonic clock's origin does not matter.
pub fn now() -> Now {
    Now {
        instant: Instant::now(),
        unix_ms: 1_790_000_000_000,
    }
}
