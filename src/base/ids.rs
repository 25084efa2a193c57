//! Ids for requests, unique in practice.

use std::hash::{DefaultHasher, Hasher};

use super::text::Text;

/// The longest id that a client may give its request.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// A request's id: the platform's, the client's or one of ours.
pub type RequestId = Text<REQUEST_ID_BYTES_MAX>;

/// An id that somebody else gave a request, if it can stand in a log and in JSON as it is.
pub fn sane_id(value: &[u8]) -> Option<RequestId> {
    let is_sane = (1..=REQUEST_ID_BYTES_MAX).contains(&value.len())
        && value.iter().all(|byte| byte.is_ascii_graphic());
    let id = std::str::from_utf8(value).ok().filter(|_| is_sane)?;
    Some(RequestId::new(id))
}

/// A stream of 128-bit ids from one random seed.
pub struct Ids {
    seed: u64,
    count: u64,
}

impl Ids {
    /// `seed` comes from the operating system's random source, for this stream alone.
    pub fn new(seed: u64) -> Ids {
        Ids { seed, count: 0 }
    }

    /// 64 evenly spread bits, from which in practice neither the seed nor how many came before can be computed (SipHash).
    pub fn next_u64(&mut self) -> u64 {
        self.count += 1;
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        hasher.write_u64(self.count);
        hasher.finish()
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
