//! One lookup in progress: both families asked for in parallel, one name of the search list after the other. It knows
//! who waits, but neither cache nor sockets.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::failure::DnsFailure;
use super::interleave;
use super::message::Family;
use super::question::{Asking, Ending, Question};
use super::resolv_conf::ResolvConf;
use crate::base::ids::Ids;

/// How long IPv4 addresses wait for those of IPv6 (RFC 8305 section 3, resolution delay).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// How long a waiter is kept waiting before it gets addresses that were valid before (RFC 8767 section 5, client
/// response timer). A healthy server answers sooner, and then a name that has moved is followed at once.
const STALE_DELAY: Duration = Duration::from_millis(1800);

/// How long one family's addresses are used if the other's are not known.
const PARTIAL_SECONDS_MAX: u32 = 5;

/// How many questions a lookup has: one for each family.
pub const SIDES: usize = 2;

/// A name that is being looked up.
pub struct Pursuit {
    pub host: Box<str>,
    pub waiters: BTreeSet<usize>,
    /// When those who wait get addresses that were valid before.
    pub stale_at: Option<Instant>,
    conf: Rc<ResolvConf>,
    turn: usize,
    /// The names still to be asked for after the present one.
    candidates: std::vec::IntoIter<Box<str>>,
    /// IPv6, IPv4.
    sides: [Side; SIDES],
    /// The result of earlier candidates: the gravest failure, and the shortest time for which one is valid.
    before: Option<(DnsFailure, u32)>,
}

/// The state of one family's question.
enum Side {
    Asking(Question),
    Ended(Ending, Instant),
}

impl Pursuit {
    /// Begins to ask for `host`, a normalised name. `turn` says which server is the first.
    pub fn new(
        host: &str,
        waiters: BTreeSet<usize>,
        conf: &Rc<ResolvConf>,
        turn: usize,
        ids: &mut Ids,
        now: Instant,
    ) -> Pursuit {
        let mut candidates = conf.candidates(host).into_iter();
        let first = candidates.next().expect("the name itself is a candidate");
        Pursuit {
            host: host.into(),
            waiters,
            stale_at: Some(now + STALE_DELAY),
            conf: Rc::clone(conf),
            turn,
            candidates,
            sides: ask_both(first, conf, turn, ids, now),
            before: None,
        }
    }

    /// Another waiter joins.
    pub fn join(&mut self, waiter: usize, now: Instant) {
        self.waiters.insert(waiter);
        self.stale_at.get_or_insert(now + STALE_DELAY);
    }

    /// What one side asks.
    pub fn asking(&self, side: usize) -> Option<Asking<'_>> {
        match &self.sides[side] {
            Side::Asking(question) => Some(question.asking()),
            Side::Ended(..) => None,
        }
    }

    /// Passes news to one side's question, if it is still being asked.
    pub fn tell(
        &mut self,
        side: usize,
        now: Instant,
        news: impl FnOnce(&mut Question) -> Option<Ending>,
    ) {
        let ending = match &mut self.sides[side] {
            Side::Asking(question) => news(question),
            Side::Ended(..) => None,
        };
        if let Some(ending) = ending {
            self.sides[side] = Side::Ended(ending, now);
        }
    }

    /// When there is something to do without a message.
    pub fn deadline(&self) -> Option<Instant> {
        let asking = self.sides.iter().filter_map(|side| match side {
            Side::Asking(question) => Some(question.deadline()),
            Side::Ended(..) => None,
        });
        asking.chain(self.patience_ends()).min()
    }

    /// Continues as far as the answers allow; returns the result once it is known.
    pub fn advance(&mut self, ids: &mut Ids, now: Instant) -> Option<Ending> {
        loop {
            let ending = self.ending(now)?;
            let (failure, ttl_seconds) = match ending.found {
                Ok(_) => return Some(ending),
                Err(failure) => graver(self.before, (failure, ending.ttl_seconds)),
            };
            self.before = Some((failure, ttl_seconds));
            match self.candidates.next() {
                Some(name) if failure.lets_search_go_on() => {
                    self.sides = ask_both(name, &self.conf, self.turn, ids, now);
                }
                Some(_) | None => {
                    return Some(Ending {
                        found: Err(failure),
                        ttl_seconds,
                    });
                }
            }
        }
    }

    /// Until when IPv4 addresses that are known wait for IPv6. There is no such limit the other way round: a machine
    /// without IPv6 would be left with addresses that it cannot reach.
    fn patience_ends(&self) -> Option<Instant> {
        match &self.sides {
            [Side::Asking(_), Side::Ended(four, since)] if four.found.is_ok() => {
                Some(*since + RESOLUTION_DELAY)
            }
            [
                Side::Asking(_) | Side::Ended(..),
                Side::Asking(_) | Side::Ended(..),
            ] => None,
        }
    }

    /// The result of the present candidate.
    fn ending(&self, now: Instant) -> Option<Ending> {
        match &self.sides {
            [Side::Ended(six, _), Side::Ended(four, _)] => Some(join(six, four)),
            [Side::Asking(_), Side::Ended(four, _)]
                if self.patience_ends().is_some_and(|end| end <= now) =>
            {
                Some(partial(four))
            }
            [
                Side::Asking(_) | Side::Ended(..),
                Side::Asking(_) | Side::Ended(..),
            ] => None,
        }
    }
}

fn ask_both(
    name: Box<str>,
    conf: &Rc<ResolvConf>,
    turn: usize,
    ids: &mut Ids,
    now: Instant,
) -> [Side; SIDES] {
    let name: Rc<str> = name.into();
    let mut ask = |family| Side::Asking(Question::new(&name, family, conf, turn, ids, now));
    [ask(Family::V6), ask(Family::V4)]
}

/// The result of both families' answers together.
fn join(six: &Ending, four: &Ending) -> Ending {
    match (&six.found, &four.found) {
        (Ok(sixes), Ok(fours)) => Ending {
            found: Ok(interleave([&sixes[..], &fours[..]].concat())),
            ttl_seconds: six.ttl_seconds.min(four.ttl_seconds),
        },
        (Ok(_), Err(failure)) => beside(six, failure),
        (Err(failure), Ok(_)) => beside(four, failure),
        (Err(of_six), Err(of_four)) => {
            let (failure, ttl_seconds) = graver(
                Some((*of_six, six.ttl_seconds)),
                (*of_four, four.ttl_seconds),
            );
            Ending {
                found: Err(failure),
                ttl_seconds,
            }
        }
    }
}

/// One family's addresses if the other has none, or if the other's could not be learnt.
fn beside(good: &Ending, other: &DnsFailure) -> Ending {
    match other.is_answer() {
        true => good.clone(),
        false => partial(good),
    }
}

fn partial(good: &Ending) -> Ending {
    Ending {
        found: good.found.clone(),
        ttl_seconds: good.ttl_seconds.min(PARTIAL_SECONDS_MAX),
    }
}

fn graver(one: Option<(DnsFailure, u32)>, other: (DnsFailure, u32)) -> (DnsFailure, u32) {
    match one {
        Some((failure, ttl_seconds)) => (failure.max(other.0), ttl_seconds.min(other.1)),
        None => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::reply;
    use super::*;

    /// Plays `6: REPLY`, `4: REPLY` and `+MILLISECONDS`, separated by `|`; returns how the lookup ended, or what it
    /// asks.
    fn play(conf: &str, host: &str, script: &str) -> String {
        let mut ids = Ids::new(1);
        let mut now = Instant::now();
        let conf = Rc::new(ResolvConf::parse(conf));
        let mut pursuit = Pursuit::new(host, [1].into(), &conf, 0, &mut ids, now);
        for step in script.split('|').map(str::trim) {
            match step.split_at(2) {
                ("6:", items) | ("4:", items) => {
                    let side = usize::from(step.starts_with('4'));
                    let asked = pursuit.asking(side).map(|asking| asking.message.to_vec());
                    let mut message = reply(&asked.expect("this side asks"), items);
                    pursuit.tell(side, now, |question| {
                        question.on_message(&mut message, &mut ids, now)
                    });
                }
                _ => {
                    now += Duration::from_millis(step[1..].parse().unwrap());
                    for side in 0..SIDES {
                        pursuit.tell(side, now, |question| question.expire(&mut ids, now));
                    }
                }
            }
            if let Some(Ending { found, ttl_seconds }) = pursuit.advance(&mut ids, now) {
                return match found {
                    Ok(addresses) => format!("{addresses:?} {ttl_seconds}"),
                    Err(failure) => format!("{failure} {ttl_seconds}"),
                };
            }
            assert!(
                pursuit.deadline().is_some_and(|at| at > now),
                "{script}: who waits has a deadline"
            );
        }
        let asks = |side: usize| match &pursuit.sides[side] {
            Side::Asking(question) => {
                let message = question.asking().message;
                let labels = message[13..].split(|byte| *byte == 0).next().unwrap();
                String::from_utf8_lossy(labels)
                    .replace(|character: char| character.is_control(), ".")
            }
            Side::Ended(..) => "-".to_string(),
        };
        format!("asks {} {}", asks(0), asks(1))
    }

    #[test]
    fn families_are_joined_and_waited_for() {
        let six = "6: a.x AAAA fd00::1 40; a.x AAAA fd00::2 40";
        let four = "4: a.x A 10.0.0.1 30";
        let both = "[fd00::1, 10.0.0.1, fd00::2] 30";
        let rows = [
            (format!("{six} | {four}"), both),
            (format!("{four} | {six}"), both),
            (format!("{four} | +49 | {six}"), both),
            (four.to_string(), "asks a.x -"),
            (format!("{four} | +49"), "asks a.x -"),
            (format!("{four} | +50"), "[10.0.0.1] 5"),
            (format!("+1900 | {four} | +50"), "[10.0.0.1] 5"),
            (six.to_string(), "asks - a.x"),
            (format!("{six} | +1000"), "asks - a.x"),
            (
                format!("{six} | +2000 | +2000 | +2000"),
                "[fd00::1, fd00::2] 5",
            ),
            (format!("6: SOA 9 9 | {four}"), "[10.0.0.1] 30"),
            (format!("6: NXDOMAIN | {four}"), "[10.0.0.1] 30"),
            (
                format!("6: SERVFAIL | 6: SERVFAIL | 6: SERVFAIL | {four}"),
                "[10.0.0.1] 5",
            ),
            (format!("4: SOA 9 9 | {six}"), "[fd00::1, fd00::2] 40"),
            ("4: SOA 9 9 | +500".to_string(), "asks a.x -"),
            (
                "4: NXDOMAIN; SOA 9 9 | 6: NXDOMAIN; SOA 8 8".to_string(),
                "no such name 8",
            ),
            (
                "4: SOA 9 9 | 6: NXDOMAIN; SOA 10 10".to_string(),
                "the name has no address 9",
            ),
            (
                "+2000 | +2000 | +2000".to_string(),
                "timed out asking 10.0.0.9 0",
            ),
            (
                "4: NXDOMAIN; SOA 9 9 | +2000 | +2000 | +2000".to_string(),
                "timed out asking 10.0.0.9 0",
            ),
        ];
        for (script, want) in rows {
            assert_eq!(
                play("nameserver 10.0.0.9", "a.x", &script),
                want,
                "{script}"
            );
        }
    }

    #[test]
    fn deadlines_are_those_of_the_questions_and_of_patience() {
        let start = Instant::now();
        let rows = [(None, 2000), (Some(0), 2000), (Some(1), 50)];
        for (answered, want) in rows {
            let mut ids = Ids::new(1);
            let conf = Rc::new(ResolvConf::parse(""));
            let mut pursuit = Pursuit::new("a.x", [1].into(), &conf, 0, &mut ids, start);
            if let Some(side) = answered {
                let found = Ok(vec![[10, 0, 0, 1].into()]);
                let ending = Ending {
                    found,
                    ttl_seconds: 9,
                };
                pursuit.tell(side, start, |_| Some(ending));
            }
            let want = start + Duration::from_millis(want);
            assert_eq!(pursuit.deadline(), Some(want), "{answered:?}");
        }
    }

    #[test]
    fn the_search_list_is_gone_through() {
        let conf = "nameserver 10.0.0.9\nsearch one two\noptions attempts:1";
        let absent = "6: SOA 9 9 | 4: SOA 7 9";
        let unknown = "6: NXDOMAIN; SOA 9 9 | 4: NXDOMAIN; SOA 9 9";
        let failing = "6: SERVFAIL | 4: SERVFAIL";
        let rows = [
            ("a", "+1".to_string(), "asks a.one a.one"),
            (
                "a",
                "4: a.one A 10.0.0.1 30 | 6: SOA 9 9".to_string(),
                "[10.0.0.1] 30",
            ),
            ("a", unknown.to_string(), "asks a.two a.two"),
            ("a", format!("{unknown} | {unknown}"), "asks a a"),
            (
                "a",
                format!("{unknown} | {unknown} | {unknown}"),
                "no such name 9",
            ),
            (
                "a",
                format!("{unknown} | {absent} | {unknown}"),
                "the name has no address 7",
            ),
            ("a", format!("{failing} | {unknown}"), "asks a a"),
            (
                "a",
                format!("{failing} | {unknown} | {unknown}"),
                "10.0.0.9 answered: server failure 0",
            ),
            (
                "a",
                format!("{unknown} | +2000"),
                "timed out asking 10.0.0.9 0",
            ),
            ("a.", unknown.to_string(), "no such name 9"),
            ("a.b", "+1".to_string(), "asks a.b a.b"),
            ("a.b", unknown.to_string(), "asks a.b.one a.b.one"),
        ];
        for (host, script, want) in rows {
            assert_eq!(play(conf, host, &script), want, "{host}: {script}");
        }
    }
}
