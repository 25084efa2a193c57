//! Answers of name servers, kept as long as they are valid. It asks nobody.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::failure::DnsFailure;

/// Most names that are kept. A proxy speaks to a few hosts; their number is bounded all the same.
pub const NAMES_MAX: usize = 1024;

/// Bounds for how long addresses are valid: with zero, each of a storm of requests would ask, and a very long time
/// would outlive a move of the host.
const POSITIVE_SECONDS_MIN: u32 = 1;
const POSITIVE_SECONDS_MAX: u32 = 3600;

/// Bounds for how long an absence is valid: a newly created name is soon found.
const NEGATIVE_SECONDS_MIN: u32 = 1;
const NEGATIVE_SECONDS_MAX: u32 = 30;

/// How long a fault is remembered, so that a storm of requests asks only once.
const FAULT_SECONDS: u32 = 2;

/// After their time to live, addresses are still used as long as no server can be asked or none has answered yet (RFC
/// 8767), for at most this long.
const STALE_MAX: Duration = Duration::from_secs(300);

/// How long stale addresses are used before the servers are asked once more (RFC 8767 section 5).
const STALE_RECHECK: Duration = Duration::from_secs(30);

/// The age below which an answer cannot be doubted: while a platform is down, its name is not asked for more often.
const DOUBT_AFTER: Duration = Duration::from_secs(5);

/// The result of a lookup.
pub type Answer = Result<Rc<[IpAddr]>, DnsFailure>;

/// Answers by (normalised) name.
#[derive(Default)]
pub struct Cache {
    entries: BTreeMap<Box<str>, Entry>,
}

struct Entry {
    answer: Answer,
    /// When it came, or when it last could not be renewed.
    asked_at: Instant,
    fresh_until: Instant,
    /// Until when a failure to renew the answer does not replace it.
    stale_until: Instant,
}

impl Cache {
    /// The answer for a name, while it is valid.
    pub fn find(&self, name: &str, now: Instant) -> Option<&Answer> {
        let entry = self.entries.get(name)?;
        (now < entry.fresh_until).then_some(&entry.answer)
    }

    /// Keeps an answer for its time to live, within bounds. A fault does not replace addresses that were valid a short
    /// while ago.
    pub fn store(&mut self, name: &str, answer: Answer, ttl_seconds: u32, now: Instant) {
        let is_fault = answer.as_ref().is_err_and(|failure| !failure.is_answer());
        if is_fault && self.serve_on(name, now) {
            return;
        }
        if self.entries.len() >= NAMES_MAX && !self.entries.contains_key(name) {
            self.evict();
        }
        let fresh_until = now + time_to_live(&answer, ttl_seconds);
        let entry = Entry {
            answer,
            asked_at: now,
            fresh_until,
            stale_until: fresh_until + STALE_MAX,
        };
        self.entries.insert(name.into(), entry);
    }

    /// Extends the use of a name's addresses if they were valid a short while ago; returns whether there are such.
    pub fn serve_on(&mut self, name: &str, now: Instant) -> bool {
        match self.entries.get_mut(name) {
            Some(entry) if entry.answer.is_ok() && now < entry.stale_until => {
                entry.asked_at = now;
                entry.fresh_until = (now + STALE_RECHECK).min(entry.stale_until);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Nothing was reached at the addresses that a name had at `then`: it is asked for again, unless that had just been
    /// done. If no server can be asked, the addresses stay in use.
    pub fn doubt(&mut self, name: &str, then: Instant) {
        if let Some(entry) = self.entries.get_mut(name)
            && entry.answer.is_ok()
            && entry.asked_at + DOUBT_AFTER <= then
        {
            entry.fresh_until = entry.fresh_until.min(then);
        }
    }

    /// Forgets what is known of a name.
    pub fn forget(&mut self, name: &str) {
        self.entries.remove(name);
    }

    /// Forgets the name whose answer expires first, or expired longest ago.
    fn evict(&mut self) {
        let first = self
            .entries
            .iter()
            .min_by_key(|(_, entry)| entry.fresh_until);
        if let Some(name) = first.map(|(name, _)| name.clone()) {
            self.entries.remove(&name);
        }
    }
}

fn time_to_live(answer: &Answer, ttl_seconds: u32) -> Duration {
    let seconds = match answer {
        Ok(_) => ttl_seconds.clamp(POSITIVE_SECONDS_MIN, POSITIVE_SECONDS_MAX),
        Err(failure) if failure.is_answer() => {
            ttl_seconds.clamp(NEGATIVE_SECONDS_MIN, NEGATIVE_SECONDS_MAX)
        }
        Err(_) => FAULT_SECONDS,
    };
    Duration::from_secs(seconds.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (when it is stored, in seconds; the answer; its time to live)
    type Stored = (u64, Answer, u32);

    fn good(last: u8) -> Answer {
        Ok([IpAddr::from([10, 0, 0, last])].into())
    }

    fn absent() -> Answer {
        Err(DnsFailure::NoSuchName)
    }

    fn fault() -> Answer {
        let server = [10, 0, 0, 9].into();
        Err(DnsFailure::TimedOut { server })
    }

    #[test]
    fn faults_do_not_replace_good_answers() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let rows: [(&str, &[Stored], u64, Option<Answer>); 13] = [
            ("nothing", &[], 0, None),
            ("fresh", &[(0, good(1), 60)], 59, Some(good(1))),
            ("over", &[(0, good(1), 60)], 60, None),
            (
                "replaced",
                &[(0, good(1), 60), (10, good(2), 60)],
                69,
                Some(good(2)),
            ),
            ("fault", &[(0, fault(), 0)], 1, Some(fault())),
            ("fault over", &[(0, fault(), 0)], 2, None),
            (
                "stale serves",
                &[(0, good(1), 60), (61, fault(), 0)],
                90,
                Some(good(1)),
            ),
            (
                "and is rechecked",
                &[(0, good(1), 60), (61, fault(), 0)],
                91,
                None,
            ),
            (
                "to its end",
                &[(0, good(1), 60), (350, fault(), 0)],
                359,
                Some(good(1)),
            ),
            (
                "but not for ever",
                &[(0, good(1), 60), (350, fault(), 0)],
                360,
                None,
            ),
            (
                "too old",
                &[(0, good(1), 60), (360, fault(), 0)],
                361,
                Some(fault()),
            ),
            (
                "an absence does not serve stale",
                &[(0, absent(), 5), (6, fault(), 0)],
                7,
                Some(fault()),
            ),
            (
                "gone is gone",
                &[(0, good(1), 60), (61, absent(), 2)],
                62,
                Some(absent()),
            ),
        ];
        for (what, stored, looked_at, want) in rows {
            let mut cache = Cache::default();
            for (stored_at, answer, ttl_seconds) in stored {
                cache.store("a.example", answer.clone(), *ttl_seconds, at(*stored_at));
            }
            assert_eq!(
                cache.find("a.example", at(looked_at)).cloned(),
                want,
                "{what}"
            );
        }
    }

    #[test]
    fn addresses_that_lead_nowhere_are_asked_for_anew_and_not_all_the_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut cache = Cache::default();
        let is_known = |cache: &Cache, seconds| cache.find("a.example", at(seconds)).is_some();
        cache.store("a.example", good(1), 60, at(0));
        cache.doubt("a.example", at(4));
        assert!(is_known(&cache, 59));
        cache.doubt("a.example", at(5));
        assert!(!is_known(&cache, 5));
        cache.store("a.example", fault(), 0, at(6));
        cache.doubt("a.example", at(10));
        assert_eq!(cache.find("a.example", at(35)), Some(&good(1)), "stale");
        cache.store("a.example", good(2), 60, at(36));
        cache.doubt("a.example", at(50));
        cache.doubt("b.example", at(50));
        assert!(!is_known(&cache, 50));
        cache.store("a.example", absent(), 20, at(51));
        cache.doubt("a.example", at(60));
        assert!(is_known(&cache, 60), "an absence has no addresses");
    }

    #[test]
    fn answers_hold_within_bounds() {
        let rows = [
            (good(1), 60, 60),
            (good(1), 0, 1),
            (good(1), 86_400, 3600),
            (absent(), 20, 20),
            (absent(), 0, 1),
            (absent(), 900, 30),
            (fault(), 0, 2),
            (fault(), 900, 2),
        ];
        for (answer, ttl_seconds, want) in rows {
            assert_eq!(
                time_to_live(&answer, ttl_seconds),
                Duration::from_secs(want),
                "{answer:?} {ttl_seconds}"
            );
        }
    }

    #[test]
    fn a_full_cache_forgets_what_ends_first() {
        let start = Instant::now();
        let mut cache = Cache::default();
        let names = NAMES_MAX as u32;
        for number in 0..names {
            // The hundredth ends first.
            let ttl_seconds = 1 + (number + names - 100) % names;
            cache.store(&format!("host{number}"), good(1), ttl_seconds, start);
        }
        cache.store("host5", good(2), 9, start);
        assert!(
            cache.find("host100", start).is_some(),
            "replacing needs no place"
        );
        cache.store("new", good(3), 9, start);
        assert_eq!(cache.entries.len(), NAMES_MAX);
        assert_eq!(cache.find("host100", start), None);
        for kept in ["new", "host5", "host99", "host101"] {
            assert!(cache.find(kept, start).is_some(), "{kept}");
        }
    }
}
