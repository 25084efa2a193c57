//! Requests that are counted before they come: a record of a busy client key counts its next requests, so that these wait
//! for no write. Those that do not come in time are given back. It knows no journal.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::policy::access::{ClientId, Spent};

/// Requests are counted ahead that come within this time.
const AHEAD_US: u32 = 10_000;

/// The most requests counted ahead for a key: if the process is killed, so many may be counted that never came.
const AHEAD_MAX: u32 = 31;

/// For each request counted ahead, the key's limits must still allow this many: small limits stay exact even then.
const ALLOWED_PER_AHEAD: u64 = 1024;

/// What has not come within this time is given back.
const KEPT_FOR: Duration = Duration::from_millis(20);

/// A longer pause between two requests counts as this long. After such a pause, some seventy requests in quick
/// succession are counted one by one.
const GAP_US_MAX: u32 = 1_000_000;

/// The weight of the latest gap in the moving average of the time between two requests: one part in this many.
const GAP_PARTS: u32 = 16;

/// What is counted ahead of each client key.
#[derive(Default)]
pub struct Ahead {
    /// Of each client key that has asked since the start.
    keys: BTreeMap<ClientId, Pace>,
    /// When to check for requests that have not come, and whose, the earliest first: an entry for each record of the last
    /// [`KEPT_FOR`] that counted ahead.
    due: VecDeque<(Instant, ClientId)>,
    /// Of whom the last request counted ahead has come in this turn, and how many are to be counted next.
    used_up: Vec<(ClientId, u32)>,
}

/// How fast a key's requests come, and how many of them are counted already.
struct Pace {
    last_at: Instant,
    gap_us: u32,
    /// The hour and day for which they are counted.
    counted_in: Spent,
    to_come: u32,
    give_back_at: Instant,
}

impl Ahead {
    /// Counts an admitted request: in the record that is returned, or, if none is, in an earlier one. `allowed` is how
    /// many more requests the key's limits allow.
    pub fn count(
        &mut self,
        client: ClientId,
        admission: Spent,
        allowed: u64,
        now: Instant,
    ) -> Option<Spent> {
        let pace = self.keys.entry(client).or_insert(Pace {
            last_at: now,
            gap_us: GAP_US_MAX,
            counted_in: admission,
            to_come: 0,
            give_back_at: now,
        });
        pace.on_request(now);
        if pace.to_come == 0 {
            pace.counted_in = admission;
            let ahead = pace.ahead(allowed);
            self.expect(client, ahead, now);
            return Some(admission.times(1 + ahead));
        }
        // What was counted ahead for an hour that is over is not used, and given back in time.
        if pace.counted_in.join(&admission).is_none() {
            return Some(admission);
        }
        pace.counted_in = admission;
        pace.to_come -= 1;
        if pace.to_come == 0 {
            self.used_up.push((client, pace.ahead(allowed)));
        }
        None
    }

    /// A record that counts the next requests of a key, if all that were counted ahead have come. It is to be written
    /// before another turn, and no request waits for it. Near a limit, which allows a single one, that would take a
    /// record for each request: there the next one brings a record of two.
    pub fn go_on(&mut self, now: Instant) -> Option<Spent> {
        while let Some((client, ahead)) = self.used_up.pop() {
            let pace = &self.keys[&client];
            if ahead > 1 && pace.to_come == 0 {
                let counted_in = pace.counted_in;
                self.expect(client, ahead, now);
                return Some(counted_in.times(ahead));
            }
        }
        None
    }

    /// Notes how many requests of a key are counted ahead.
    fn expect(&mut self, client: ClientId, ahead: u32, now: Instant) {
        if ahead > 0 {
            let pace = self.keys.get_mut(&client).expect("it has asked");
            pace.to_come = ahead;
            pace.give_back_at = now + KEPT_FOR;
            self.due.push_back((pace.give_back_at, client));
        }
    }

    /// When [`Ahead::give_back`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.due.front().map(|(at, _)| *at)
    }

    /// The requests that have not come in time.
    pub fn give_back(&mut self, now: Instant) -> Vec<Spent> {
        let mut unused = Vec::new();
        while let Some(&(at, client)) = self.due.front()
            && at <= now
        {
            self.due.pop_front();
            let pace = self.keys.get_mut(&client).expect("no key is forgotten");
            // If all of them have come, a later record may have counted ahead again.
            if pace.to_come > 0 && pace.give_back_at <= now {
                unused.push(pace.counted_in.times(pace.to_come));
                pace.to_come = 0;
            }
        }
        unused
    }

    /// No more requests come: the next [`Ahead::give_back`] returns all that were counted ahead.
    pub fn end(&mut self, now: Instant) {
        self.used_up.clear();
        for pace in self.keys.values_mut() {
            pace.give_back_at = now;
        }
        for (at, _) in &mut self.due {
            *at = now;
        }
    }
}

impl Pace {
    /// How many requests to count ahead, of `allowed`: if any come in the next [`AHEAD_US`], these and one more.
    fn ahead(&self, allowed: u64) -> u32 {
        let part = u32::try_from(allowed / ALLOWED_PER_AHEAD).unwrap_or(u32::MAX);
        match AHEAD_US / self.gap_us.max(1) {
            0 => 0,
            in_time => (in_time + 1).min(AHEAD_MAX).min(part),
        }
    }

    fn on_request(&mut self, now: Instant) {
        let gap = (now - self.last_at).as_micros();
        let gap_us = u32::try_from(gap).map_or(GAP_US_MAX, |gap| gap.min(GAP_US_MAX));
        self.gap_us = (self.gap_us * (GAP_PARTS - 1) + gap_us) / GAP_PARTS;
        self.last_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::digest::Digest;

    const CLIENT: ClientId = ClientId(0);
    const NO_LIMIT: u64 = u64::MAX;

    fn admission(hour: u32) -> Spent {
        Spent {
            client: Digest::of(b"client-one"),
            unix_ms: 0,
            hour,
            hour_used: 1,
            day: 1,
            day_used: 1,
        }
    }

    /// What counting some requests has come to.
    #[derive(Debug, PartialEq, Eq)]
    struct Counted {
        /// How many requests too many are counted in the end.
        too_much: u32,
        records: u32,
        /// How many requests had to wait for a record.
        waits: u32,
    }

    /// Counts requests that come with these gaps, each in a turn of its own.
    fn count(gaps_us: impl Iterator<Item = u64>, allowed: u64) -> Counted {
        let (mut ahead, mut now) = (Ahead::default(), Instant::now());
        let (mut came, mut counted, mut records, mut waits) = (0, 0, 0, 0);
        for gap_us in gaps_us {
            now += Duration::from_micros(gap_us);
            came += 1;
            let record = ahead.count(CLIENT, admission(1), allowed, now);
            waits += u32::from(record.is_some());
            counted += record.map_or(0, |record| record.day_used);
            assert!(counted >= came, "each is counted before it may go on");
            while let Some(record) = ahead.go_on(now) {
                records += 1;
                counted += record.day_used;
            }
            for unused in ahead.give_back(now) {
                records += 1;
                counted -= unused.day_used;
            }
            let too_much = counted.checked_sub(came).expect("each is counted");
            assert!(too_much <= AHEAD_MAX);
            assert!(too_much == 0 || ahead.deadline().is_some());
        }
        ahead.end(now);
        assert_eq!(ahead.go_on(now), None);
        let unused: u32 = ahead
            .give_back(now)
            .iter()
            .map(|spent| spent.day_used)
            .sum();
        assert_eq!((counted - unused, ahead.deadline()), (came, None));
        Counted {
            too_much: counted - came,
            records: records + waits,
            waits,
        }
    }

    #[test]
    fn a_busy_key_waits_for_few_records_and_a_quiet_one_is_exact() {
        const REQUESTS: u64 = 2000;
        // (gap in microseconds, what the limits allow, the most records, the most of them that requests wait for)
        let rows = [
            (0, NO_LIMIT, 180, 100),
            (100, NO_LIMIT, 180, 100),
            (1000, NO_LIMIT, 300, 100),
            (4000, NO_LIMIT, 750, 100),
            (10_001, NO_LIMIT, 2000, 2000),
            (1_000_000, NO_LIMIT, 2000, 2000),
            (4_000_000_000, NO_LIMIT, 2000, 2000),
            (5_000_000_000, NO_LIMIT, 2000, 2000),
            (100, 1023, 2000, 2000),
            (100, 1024, 1050, 1050),
            (100, 4096, 700, 100),
        ];
        for (gap_us, allowed, records_max, waits_max) in rows {
            let counted = count((0..REQUESTS).map(|_| gap_us), allowed);
            let is_exact = waits_max == 2000;
            let records_min = if is_exact { 2000 } else { 0 };
            let case = format!("{gap_us}, {allowed}: {counted:?}");
            assert!(
                (records_min..=records_max).contains(&counted.records),
                "{case}"
            );
            assert!((records_min..=waits_max).contains(&counted.waits), "{case}");
        }
    }

    #[test]
    fn sixty_requests_in_quick_succession_are_counted_one_by_one() {
        for pause_us in [0, 1_000_000] {
            let gaps = (0..1).map(|_| pause_us).chain((1..60).map(|_| 100));
            let exact = Counted {
                too_much: 0,
                records: 60,
                waits: 60,
            };
            assert_eq!(count(gaps, NO_LIMIT), exact);
        }
    }

    #[test]
    fn whatever_the_gaps_each_request_is_counted_and_no_more_in_the_end() {
        let mut random = 1_u64;
        let gaps = (0..20_000).map(|_| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // Gaps of all sizes, with quick successions among them.
            let bits = random >> 60;
            (random >> 40) % (1 << bits)
        });
        count(gaps, NO_LIMIT);
    }

    #[test]
    fn what_was_counted_for_an_hour_that_is_over_is_not_used_in_the_next() {
        let (mut ahead, now) = (Ahead::default(), Instant::now());
        let mut last = None;
        for _ in 0..100 {
            last = ahead.count(CLIENT, admission(1), NO_LIMIT, now).or(last);
        }
        let last = last.expect("the first is written");
        assert!(last.hour_used > 1);
        let next = ahead.count(CLIENT, admission(2), NO_LIMIT, now);
        assert_eq!(next, Some(admission(2)));
        let unused = ahead.give_back(now + KEPT_FOR);
        assert_eq!((unused.len(), unused[0].hour), (1, 1));
        let next = ahead.count(CLIENT, admission(2), NO_LIMIT, now + KEPT_FOR);
        assert!(next.is_some_and(|record| record.hour == 2 && record.hour_used > 1));
    }

    #[test]
    fn what_has_not_come_is_given_back_in_time_whoever_else_is_busy() {
        let (mut ahead, begun) = (Ahead::default(), Instant::now());
        let later = begun + KEPT_FOR / 2;
        for (client, at) in [(ClientId(0), begun), (ClientId(1), later)] {
            let mut records =
                (0..100).filter_map(|_| ahead.count(client, admission(1), NO_LIMIT, at));
            assert!(records.any(|record| record.day_used > 1));
        }
        for until in [begun + KEPT_FOR, later + KEPT_FOR] {
            assert_eq!(ahead.deadline(), Some(until));
            assert_eq!(ahead.give_back(until).len(), 1);
        }
        assert_eq!(ahead.deadline(), None);
    }
}
