//! Ids for requests, unique in practice. Not secrets: from one of them all others of the same seed can be computed.

use super::text::Text;

/// The longest id that a client may give its request.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// A request's id: the platform's, the client's or one of ours.
pub type RequestId = Text<REQUEST_ID_BYTES_MAX>;

/// A stream of 128-bit ids from one random seed.
pub struct Ids {
    state: u64,
}

impl Ids {
    /// `seed` comes from the operating system's random source, for this stream alone.
    pub fn new(seed: u64) -> Ids {
        Ids { state: seed }
    }

    /// 64 evenly spread bits (SplitMix64).
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// `req_` and 32 hex digits.
    pub fn request_id(&mut self) -> RequestId {
        let mut id = Text::new("req_");
        for _ in 0..2 {
            id.push_hex(self.next_u64());
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_have_one_shape() {
        let mut ids = Ids::new(7);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let id = ids.request_id();
            assert_eq!(id.as_str().len(), 36);
            assert!(
                id.as_str()[4..]
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit())
            );
            assert!(seen.insert(id.as_str().to_string()));
        }
    }
}
