//! The resolver without its sockets: what is known, what is being asked, who waits. Messages and time go in; answers,
//! messages and a deadline come out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Instant;

use super::cache::{self, Cache};
use super::failure::DnsFailure;
use super::hosts::Hosts;
use super::name::{NAME_BYTES_MAX, is_localhost, normalise};
use super::pursuit::{Pursuit, SIDES};
use super::question::{Asking, Ending, Question};
use super::resolv_conf::ResolvConf;
use super::{Lookup, SOCKETS_MAX};
use crate::base::ids::Ids;
use crate::base::now::Now;

/// Most lookups in progress at once; each may hold a socket per family. Others wait for their turn.
const PURSUITS_MAX: usize = SOCKETS_MAX / SIDES;

/// Most names that wait for their turn; the cache could not hold more either.
const QUEUED_MAX: usize = cache::NAMES_MAX;

/// What the resolver knows and does.
///
/// Each lookup in progress has a place, and each of its questions a slot, `place * SIDES + side`, in which the shell
/// keeps the question's socket.
pub struct Core {
    hosts: Hosts,
    conf: Rc<ResolvConf>,
    localhost: Rc<[IpAddr]>,
    cache: Cache,
    ids: Ids,
    /// Lookups begun so far, for `rotate`.
    turn: usize,
    /// By place. Mostly there is none, and then a turn's look for the next deadline costs nothing.
    active: BTreeMap<usize, Pursuit>,
    queued: VecDeque<Queued>,
    woken: BTreeSet<usize>,
}

struct Queued {
    host: Box<str>,
    waiters: BTreeSet<usize>,
}

impl Core {
    /// `hosts` and `resolv_conf` are the files' texts.
    pub fn new(hosts: &str, resolv_conf: &str, seed: u64) -> Core {
        Core {
            hosts: Hosts::parse(hosts),
            conf: Rc::new(ResolvConf::parse(resolv_conf)),
            localhost: [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()].into(),
            cache: Cache::default(),
            ids: Ids::new(seed),
            turn: 0,
            active: BTreeMap::new(),
            queued: VecDeque::new(),
            woken: BTreeSet::new(),
        }
    }

    /// Replaces the files' texts. Other servers may know other names, so what the former ones said is forgotten, and
    /// lookups in progress begin anew.
    pub fn configure(&mut self, hosts: &str, resolv_conf: &str, now: Now) {
        self.hosts = Hosts::parse(hosts);
        let conf = ResolvConf::parse(resolv_conf);
        if *self.conf != conf {
            self.conf = Rc::new(conf);
            self.cache = Cache::default();
            while let Some((_, pursuit)) = self.active.pop_last() {
                let Pursuit { host, waiters, .. } = pursuit;
                self.queued.push_front(Queued { host, waiters });
            }
            self.admit(now.instant);
        }
    }

    /// Answers from what is known; otherwise `waiter` waits for the name's lookup, which is begun if necessary.
    pub fn lookup(&mut self, host: &str, waiter: usize, now: Now) -> Lookup {
        if let Ok(address) = host.parse() {
            return Lookup::Ready([address].into());
        }
        let mut buffer = [0; NAME_BYTES_MAX];
        let Some(name) = normalise(host, &mut buffer) else {
            return Lookup::Failed(DnsFailure::BadName);
        };
        if is_localhost(name) {
            return Lookup::Ready(Rc::clone(&self.localhost));
        }
        if let Some(addresses) = self.hosts.find(name) {
            return Lookup::Ready(Rc::clone(addresses));
        }
        match self.cache.find(name, now.instant) {
            Some(Ok(addresses)) => Lookup::Ready(Rc::clone(addresses)),
            Some(Err(failure)) => Lookup::Failed(*failure),
            None => self.pursue(name, waiter, now.instant),
        }
    }

    /// Forgets the result of a name's lookup: the next lookup asks again.
    pub fn forget_answer(&mut self, host: &str) {
        if let Some(name) = normalise(host, &mut [0; NAME_BYTES_MAX]) {
            self.cache.forget(name);
        }
    }

    /// Nothing was reached at the addresses that the name had at `then`.
    pub fn doubt(&mut self, host: &str, then: Instant) {
        if let Some(name) = normalise(host, &mut [0; NAME_BYTES_MAX]) {
            self.cache.doubt(name, then);
        }
    }

    /// What the question in `slot` asks, and of which server.
    pub fn asking(&self, slot: usize) -> Option<Asking<'_>> {
        let pursuit = self.active.get(&(slot / SIDES))?;
        pursuit.asking(slot % SIDES)
    }

    /// A message came from the server asked. It is not kept, but a bit of it may be changed.
    pub fn on_message(&mut self, slot: usize, message: &mut [u8], now: Now) {
        self.tell(slot, now.instant, |question, ids| {
            question.on_message(message, ids, now.instant)
        });
    }

    /// The socket failed, or could not be opened.
    pub fn on_fault(&mut self, slot: usize, error: &io::Error, now: Now) {
        self.tell(slot, now.instant, |question, ids| {
            question.on_fault(error, ids, now.instant)
        });
    }

    /// Handles every deadline that has passed.
    pub fn expire(&mut self, now: Now) {
        for slot in 0..SOCKETS_MAX {
            self.tell(slot, now.instant, |question, ids| {
                question.expire(ids, now.instant)
            });
        }
        for pursuit in self.active.values_mut() {
            let is_late = pursuit.stale_at.take_if(|at| *at <= now.instant).is_some();
            if is_late && self.cache.serve_on(&pursuit.host, now.instant) {
                self.woken.append(&mut pursuit.waiters);
            }
        }
    }

    /// When `expire` is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.active
            .values()
            .filter_map(|pursuit| pursuit.deadline().into_iter().chain(pursuit.stale_at).min())
            .min()
    }

    /// A waiter whose lookup has ended.
    pub fn take_woken(&mut self) -> Option<usize> {
        self.woken.pop_first()
    }

    /// Cancels a waiter's wake-up; returns whether there was one.
    pub fn unwake(&mut self, waiter: usize) -> bool {
        self.woken.remove(&waiter)
    }

    /// The waiter has gone. Its lookup continues: the next waiter may want the result.
    pub fn forget(&mut self, waiter: usize) {
        self.woken.remove(&waiter);
        for pursuit in self.active.values_mut() {
            pursuit.waiters.remove(&waiter);
        }
        for queued in &mut self.queued {
            queued.waiters.remove(&waiter);
        }
    }

    fn pursue(&mut self, name: &str, waiter: usize, now: Instant) -> Lookup {
        let mut active = self.active.values_mut();
        if let Some(pursuit) = active.find(|pursuit| *pursuit.host == *name) {
            pursuit.join(waiter, now);
        } else if let Some(queued) = self.queued.iter_mut().find(|queued| *queued.host == *name) {
            queued.waiters.insert(waiter);
        } else if self.queued.len() >= QUEUED_MAX {
            return Lookup::Failed(DnsFailure::Busy);
        } else {
            self.queued.push_back(Queued {
                host: name.into(),
                waiters: [waiter].into(),
            });
            self.admit(now);
        }
        Lookup::Pending
    }

    /// Begins queued lookups while there are free places.
    fn admit(&mut self, now: Instant) {
        for place in 0..PURSUITS_MAX {
            if self.active.contains_key(&place) {
                continue;
            }
            let Some(Queued { host, waiters }) = self.queued.pop_front() else {
                return;
            };
            let turn = if self.conf.rotate { self.turn } else { 0 };
            self.turn = self.turn.wrapping_add(1);
            let pursuit = Pursuit::new(&host, waiters, &self.conf, turn, &mut self.ids, now);
            self.active.insert(place, pursuit);
        }
    }

    /// Passes news to a question and handles what follows from it.
    fn tell(
        &mut self,
        slot: usize,
        now: Instant,
        news: impl FnOnce(&mut Question, &mut Ids) -> Option<Ending>,
    ) {
        let place = slot / SIDES;
        let Some(pursuit) = self.active.get_mut(&place) else {
            return;
        };
        pursuit.tell(slot % SIDES, now, |question| news(question, &mut self.ids));
        if let Some(ending) = pursuit.advance(&mut self.ids, now)
            && let Some(pursuit) = self.active.remove(&place)
        {
            let answer = ending.found.map(Into::into);
            self.cache
                .store(&pursuit.host, answer, ending.ttl_seconds, now);
            self.woken.extend(pursuit.waiters);
            self.admit(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::reply;
    use super::*;
    use crate::base::testing::now;

    const HOSTS: &str = "10.9.9.9 written.example\n::9 written.example";
    const CONF: &str = "nameserver 10.0.0.1\noptions attempts:1";

    fn ready(addresses: &[&str]) -> Lookup {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Lookup::Ready(addresses.into())
    }

    /// Answers both questions of a place.
    fn answer(core: &mut Core, place: usize, items: &str, now: Now) {
        for slot in place * SIDES..(place + 1) * SIDES {
            let asked = core.asking(slot).expect("both sides ask").message.to_vec();
            core.on_message(slot, &mut reply(&asked, items), now);
        }
    }

    fn woken(core: &mut Core) -> Vec<usize> {
        std::iter::from_fn(|| core.take_woken()).collect()
    }

    #[test]
    fn what_needs_no_server_is_answered_at_once() {
        let rows = [
            ("10.1.2.3", ready(&["10.1.2.3"])),
            ("fd00::1", ready(&["fd00::1"])),
            ("localhost", ready(&["::1", "127.0.0.1"])),
            ("App.LocalHost.", ready(&["::1", "127.0.0.1"])),
            ("Written.Example", ready(&["::9", "10.9.9.9"])),
            ("written.example.", ready(&["::9", "10.9.9.9"])),
            ("a..b", Lookup::Failed(DnsFailure::BadName)),
            ("", Lookup::Failed(DnsFailure::BadName)),
            ("asked.example", Lookup::Pending),
        ];
        for (host, want) in rows {
            let mut core = Core::new(HOSTS, CONF, 1);
            assert_eq!(core.lookup(host, 1, now()), want, "{host}");
            assert_eq!(core.asking(0).is_some(), want == Lookup::Pending, "{host}");
            assert_eq!(core.deadline().is_some(), want == Lookup::Pending, "{host}");
        }
    }

    #[test]
    fn many_wait_for_one_lookup_and_all_are_woken_once() {
        let now = now();
        let mut core = Core::new("", CONF, 1);
        for (host, waiter) in [
            ("a.example", 7),
            ("A.Example", 3),
            ("a.example", 7),
            ("a.example", 5),
        ] {
            assert_eq!(core.lookup(host, waiter, now), Lookup::Pending);
        }
        assert_eq!(
            (0..SOCKETS_MAX)
                .filter(|slot| core.asking(*slot).is_some())
                .count(),
            SIDES
        );
        core.forget(5);
        assert!(woken(&mut core).is_empty());
        answer(
            &mut core,
            0,
            "a.example A 10.0.0.5 60; a.example AAAA ::5 60",
            now,
        );
        assert_eq!(core.deadline(), None);
        core.forget(9);
        core.lookup("b.example", 8, now);
        answer(&mut core, 0, "NXDOMAIN", now);
        core.forget(8);
        assert_eq!(woken(&mut core), [3, 7]);
        assert_eq!(
            core.lookup("a.example", 3, now),
            ready(&["::5", "10.0.0.5"])
        );
    }

    #[test]
    fn addresses_outlive_a_failing_server() {
        let start = now();
        let mut core = Core::new("", CONF, 1);
        core.lookup("a.example", 1, start);
        answer(&mut core, 0, "a.example A 10.0.0.5 60", start);
        let later = start.after(Duration::from_secs(61));
        assert_eq!(core.lookup("a.example", 1, later), Lookup::Pending);
        answer(&mut core, 0, "SERVFAIL", later);
        assert_eq!(core.lookup("a.example", 1, later), ready(&["10.0.0.5"]));
    }

    #[test]
    fn addresses_serve_on_while_no_server_answers() {
        let start = now();
        let at = |milliseconds| start.after(Duration::from_millis(milliseconds));
        let run = |core: &mut Core, milliseconds| {
            let until = at(milliseconds);
            while let Some(instant) = core.deadline().filter(|at| *at <= until.instant) {
                core.expire(Now { instant, ..until });
            }
            woken(core)
        };
        // The servers are asked for 12 seconds.
        let mut core = Core::new("", "nameserver 10.0.0.1\nnameserver 10.0.0.2", 1);
        core.lookup("a.example", 1, start);
        answer(&mut core, 0, "a.example A 10.0.0.5 60", start);
        assert_eq!(woken(&mut core), [1]);
        core.lookup("unknown.example", 9, at(61_000));
        // The last one joins a lookup whose waiters have been served already.
        let rows: [(u64, &[usize]); 3] = [(61_000, &[]), (104_000, &[9]), (111_000, &[])];
        for (asked_at, others) in rows {
            assert_eq!(run(&mut core, asked_at), others, "{asked_at}");
            core.doubt("a.example", at(asked_at).instant);
            let lookup = core.lookup("a.example", 1, at(asked_at));
            assert_eq!(lookup, Lookup::Pending, "{asked_at}");
            assert!(run(&mut core, asked_at + 1799).is_empty(), "{asked_at}");
            assert_eq!(run(&mut core, asked_at + 1800), [1], "{asked_at}");
            let lookup = core.lookup("a.example", 1, at(asked_at + 1800));
            assert_eq!(lookup, ready(&["10.0.0.5"]), "{asked_at}");
        }
        let end = at(115_000);
        answer(&mut core, 0, "a.example A 10.0.0.6 60", end);
        assert_eq!(core.lookup("a.example", 1, end), ready(&["10.0.0.6"]));
    }

    #[test]
    fn more_names_than_places_wait_for_their_turn() {
        let now = now();
        let mut core = Core::new("", CONF, 1);
        for number in 0..PURSUITS_MAX + QUEUED_MAX {
            assert_eq!(
                core.lookup(&format!("host{number}.example"), number, now),
                Lookup::Pending
            );
        }
        assert_eq!(
            core.lookup("more.example", 0, now),
            Lookup::Failed(DnsFailure::Busy)
        );
        assert_eq!(
            core.lookup("host20.example", 9999, now),
            Lookup::Pending,
            "who joins needs no place"
        );
        core.forget(9999);
        assert!((0..SOCKETS_MAX).all(|slot| core.asking(slot).is_some()));
        answer(&mut core, 4, "NXDOMAIN", now);
        assert_eq!(woken(&mut core), [4]);
        let first_queued = core
            .asking(4 * SIDES)
            .expect("the place is taken again")
            .message;
        assert_eq!(&first_queued[13..19], b"host16");
        // All the others time out, sixteen at a time.
        while let Some(at) = core.deadline() {
            core.expire(Now { instant: at, ..now });
        }
        assert_eq!(
            woken(&mut core).len(),
            PURSUITS_MAX + QUEUED_MAX - 1,
            "all but the first and the one who has gone"
        );
    }

    #[test]
    fn new_servers_are_asked_anew() {
        let now = now();
        let mut core = Core::new("", CONF, 1);
        core.lookup("a.example", 1, now);
        answer(
            &mut core,
            0,
            "a.example A 10.0.0.5 60; a.example AAAA ::5 60",
            now,
        );
        let steps = [
            ("", CONF, ready(&["::5", "10.0.0.5"])),
            ("10.7.7.7 a.example", CONF, ready(&["10.7.7.7"])),
            ("", "nameserver 10.0.0.2", Lookup::Pending),
        ];
        for (hosts, conf, want) in steps {
            core.configure(hosts, conf, now);
            assert_eq!(core.lookup("a.example", 1, now), want, "{hosts} {conf}");
        }
        assert_eq!(
            core.asking(0).expect("it asks").server.to_string(),
            "10.0.0.2:53"
        );
    }

    #[test]
    fn lookups_in_progress_begin_anew_with_new_servers() {
        let now = now();
        let mut core = Core::new("", CONF, 1);
        for number in 0..PURSUITS_MAX + QUEUED_MAX {
            core.lookup(&format!("host{number}.example"), number, now);
        }
        let former = [0, 1].map(|slot| core.asking(slot).expect("it asks").message.to_vec());
        core.configure("", "nameserver 10.0.0.2", now);
        for slot in 0..SOCKETS_MAX {
            let asking = core.asking(slot).expect("it asks");
            let (length, host) = (asking.message[12].into(), format!("host{}", slot / SIDES));
            let asked = (asking.server.to_string(), &asking.message[13..][..length]);
            assert_eq!(asked, ("10.0.0.2:53".to_string(), host.as_bytes()));
        }
        let items = "host0.example A 10.0.0.5 3600; host0.example AAAA ::5 3600";
        for (slot, asked) in former.iter().enumerate() {
            core.on_message(slot, &mut reply(asked, items), now);
        }
        assert!(woken(&mut core).is_empty(), "a former server's answer");
        answer(&mut core, 0, "host0.example A 10.0.0.6 60", now);
        assert_eq!(woken(&mut core), [0]);
        assert_eq!(core.lookup("host0.example", 0, now), ready(&["10.0.0.6"]));
    }

    #[test]
    fn without_a_descriptor_a_lookup_ends_until_there_is_one() {
        let now = now();
        let conf = "nameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch one two";
        let mut core = Core::new("", conf, 1);
        assert_eq!(core.lookup("A.example", 1, now), Lookup::Pending);
        for slot in 0..SIDES {
            core.on_fault(slot, &io::Error::from_raw_os_error(libc::EMFILE), now);
        }
        assert_eq!(woken(&mut core), [1]);
        let failed = Lookup::Failed(DnsFailure::NoDescriptors);
        assert_eq!(core.lookup("a.example", 1, now), failed);
        core.forget_answer("A.example");
        assert_eq!(core.lookup("a.example", 1, now), Lookup::Pending);
    }

    #[test]
    fn rotation_begins_with_the_next_server() {
        let servers = "nameserver 10.0.0.1\nnameserver 10.0.0.2\n";
        let rows = [
            ("", ["10.0.0.1"; 3]),
            ("options rotate", ["10.0.0.1", "10.0.0.2", "10.0.0.1"]),
        ];
        for (options, want) in rows {
            let mut core = Core::new("", &format!("{servers}{options}"), 1);
            for (place, want) in want.iter().enumerate() {
                core.lookup(&format!("host{place}"), place, now());
                let server = core.asking(place * SIDES).expect("it asks").server;
                assert_eq!(server.ip().to_string(), *want, "{options}");
            }
        }
    }
}
