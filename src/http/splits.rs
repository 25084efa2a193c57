//! For tests: runs one input whole, byte by byte and cut at each position. The result must always be the same.

use std::fmt::Debug;

/// An input up to this length is cut at every position, a longer one near its ends and at some positions between.
const CUT_EVERYWHERE_BYTES_MAX: usize = 600;

/// Gives `run` the pieces of `input` split in every way and returns the result, which must not vary.
///
/// # Panics
/// Two ways of splitting gave different results.
pub fn every_split<T: Debug + PartialEq>(input: &[u8], run: impl Fn(&[&[u8]]) -> T) -> T {
    let whole = run(&[input]);
    let shown = String::from_utf8_lossy(&input[..input.len().min(200)]);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(run(&bytes), whole, "byte by byte: {shown:?}");
    for cut in (0..=input.len()).filter(|cut| is_cut(*cut, input.len())) {
        let (before, after) = input.split_at(cut);
        assert_eq!(run(&[before, after]), whole, "cut at {cut}: {shown:?}");
    }
    whole
}

fn is_cut(place: usize, length: usize) -> bool {
    length <= CUT_EVERYWHERE_BYTES_MAX
        || place < 20
        || length - place < 20
        || place.is_multiple_of(997)
}

/// Calls `check` with `count` variants of the `seeds`: bytes replaced, inserted, removed, duplicated or copied from
/// another seed. The variants are the same each time.
pub fn each_mutant(seeds: &[&[u8]], count: usize, mut check: impl FnMut(&[u8])) {
    const ALPHABET: &[u8] = b"\r\n\r\n \t:;,=\"\\/%.#0159afAFxg\0\x7f\x80\xffchunked";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % bound.max(1)
    };
    for _ in 0..count {
        let mut mutant = seeds[below(seeds.len())].to_vec();
        for _ in 0..=below(3) {
            let place = below(mutant.len() + 1);
            let end = (place + below(12)).min(mutant.len());
            let byte = ALPHABET[below(ALPHABET.len())];
            match below(5) {
                0 if place < mutant.len() => mutant[place] = byte,
                0 | 1 => mutant.insert(place, byte),
                2 => drop(mutant.drain(place..end)),
                3 => {
                    let copy = mutant[place..end].to_vec();
                    mutant.splice(place..place, copy);
                }
                _ => {
                    let other = seeds[below(seeds.len())];
                    let from = below(other.len());
                    let to = (from + below(20)).min(other.len());
                    mutant.splice(place..end, other[from..to].iter().copied());
                }
            }
        }
        check(&mutant);
    }
}
