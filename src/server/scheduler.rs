//! The sessions: which are driven in a turn, in which order, and how far. Streams come first, then a bounded part of
//! all others. Small outputs are sent for several clients at a time. It knows neither the poll nor the clock.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use mio::Token;
use slab::Slab;

use crate::base::now::Now;
use crate::base::queue::RunQueue;
use crate::base::timers::Timers;
use crate::base::work::share_bytes;
use crate::exchange::Exchange;
use crate::exchange::core::Core;
use crate::exchange::reason::Reason;
use crate::exchange::request::Role;
use crate::net::connection::Hints;
use crate::net::network::Network;
use crate::net::owners::{Owner, Owners};
use crate::session::{Driven, Session};

/// At most this many clients' writes are batched. A write that wakes a process on another core of a virtual machine takes
/// some 13 us longer, and a peer that receives much at once sleeps less often: with 32 a request takes 2 % less CPU than
/// with 16. Writes to platforms are not batched, since these would begin so late that the next poll found little.
const SENDING_MAX: usize = 32;

/// The same for streams, in a turn without other work: an event takes 5 % less with 4, and no less with more. Beside other
/// work each stream sends at once.
const STREAMS_SENDING_MAX: usize = 4;

/// While there are no streams, the clock is read once for this many sessions. Reading it for each took 0.7 % of a short
/// request's time.
const DRIVEN_PER_LOOK: usize = 8;

/// Deadlines handled before other work gets its turn: thousands may have passed at once, each with a connection to be
/// closed.
const TIMERS_PER_TURN: usize = 256;

/// All sessions, by slot, and what each of them waits for.
#[derive(Default)]
pub struct Scheduler {
    sessions: Slab<Session>,
    /// How many of the sessions are streams.
    streams: usize,
    timers: Timers,
    queue: RunQueue,
    running: Vec<usize>,
    /// Sessions with output waiting to be sent to their clients.
    sending: VecDeque<usize>,
    ended: Ended,
    defects: u64,
    /// Whether all sessions driven since [`Scheduler::drive_first`] were streams and are.
    is_calm: bool,
}

/// How many clients' sessions have ended.
#[derive(Default)]
pub struct Ended {
    pub proxy: usize,
    pub demo: usize,
}

impl Scheduler {
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// How many of the sessions are streams.
    pub fn streams(&self) -> usize {
        self.streams
    }

    /// Steps that a defect has ended so far.
    pub fn defects(&self) -> u64 {
        self.defects
    }

    /// Whether a session can go on at once.
    pub fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether, since [`Scheduler::drive_first`], answers have been passed on and nothing else has come of it: none began
    /// or ended, and nobody has more to do.
    pub fn is_calm(&self) -> bool {
        self.is_calm && self.queue.is_empty()
    }

    /// The next time at which a session is to be driven without an event.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Adds the session that `begin` makes for its slot, if it makes one. Returns whether it did.
    pub fn begin(&mut self, begin: impl FnOnce(usize) -> Option<Session>) -> bool {
        let entry = self.sessions.vacant_entry();
        let slot = entry.key();
        let Some(session) = begin(slot) else {
            return false;
        };
        entry.insert(session);
        self.queue.push(slot);
        true
    }

    /// Begins the probes that are due: sessions without a client.
    pub fn begin_probes(&mut self, core: &mut Core, owners: &mut Owners, now: Now) {
        if !core.begins_probes() {
            return;
        }
        while let Some((place, key)) = core.probes.next(now) {
            self.begin(|slot| {
                let token = owners.insert(Owner::Client(slot));
                let exchange = Exchange::probe(place, key, core, now);
                Some(Session::probe(token, key, exchange, now))
            });
        }
    }

    /// The poll reported an event on the socket of a session's client.
    pub fn hint_client(&mut self, slot: usize, news: Hints) {
        self.sessions[slot].hint_client(news);
        self.queue_up(slot);
    }

    /// The poll reported an event on a socket of a session's upstream side.
    pub fn hint_upstream(&mut self, slot: usize, token: Token, news: Hints) {
        self.sessions[slot].hint_upstream(token, news);
        self.queue_up(slot);
    }

    /// Queues a session that has news. A stream goes first: it needs little work, and somebody is waiting for it.
    fn queue_up(&mut self, slot: usize) {
        match self.sessions[slot].is_stream() {
            true => self.queue.push_first(slot),
            false => self.queue.push(slot),
        }
    }

    /// Queues a session whose wait is over, if it still exists.
    pub fn wake(&mut self, slot: usize) {
        if self.sessions.contains(slot) {
            self.queue.push(slot);
        }
    }

    /// Wakes the sessions for which the core has news.
    pub fn wake_by(&mut self, core: &mut Core) {
        core.wake(&mut self.queue);
    }

    /// Wakes sessions whose deadlines have passed.
    pub fn fire_timers(&mut self, now: Now) {
        for _ in 0..TIMERS_PER_TURN {
            if self.timers.next().is_none_or(|at| now.instant < at) {
                break;
            }
            let slot = self.timers.pop(now.instant);
            let session = slot.and_then(|slot| Some((slot, self.sessions.get_mut(slot)?)));
            if let Some((slot, session)) = session {
                session.wakes_by = None;
                self.queue.push(slot);
            }
        }
    }

    /// Ends the connections of clients without a request, at a stop. A request that has just arrived is still served.
    pub fn end_idle_clients(&mut self) {
        for (slot, session) in &mut self.sessions {
            if session.role() == Role::Proxy && session.is_idle() {
                session.hint_client(Hints::FRESH);
                self.queue.push(slot);
            }
        }
    }

    /// Drives the streams that have news.
    pub fn drive_first(&mut self, core: &mut Core, network: &mut impl Network, now: Now) {
        self.is_calm = true;
        let mut running = std::mem::take(&mut self.running);
        self.queue.take_first_into(&mut running);
        let sending_max = match self.queue.second_len() {
            0 => STREAMS_SENDING_MAX,
            _ => 1,
        };
        let is_alone = running.len() == 1;
        for slot in running.drain(..) {
            self.drive(slot, is_alone, core, network, now);
            if self.sending.len() >= sending_max {
                self.send(core, network, now);
            }
        }
        self.running = running;
        self.send(core, network, now);
    }

    /// Drives sessions that are not streams until `is_over`: each at most once, and at least one of them.
    pub fn drive_rest(
        &mut self,
        core: &mut Core,
        network: &mut impl Network,
        now: Now,
        mut is_over: impl FnMut() -> bool,
    ) {
        let waiting = self.queue.second_len();
        for driven in 1..=waiting {
            if let Some(slot) = self.queue.pop_second() {
                self.drive(slot, waiting == 1, core, network, now);
            }
            let has_streams = self.streams > 0;
            if has_streams || self.sending.len() >= SENDING_MAX {
                self.send(core, network, now);
            }
            let looks = has_streams || driven % DRIVEN_PER_LOOK == 0;
            if looks && is_over() {
                break;
            }
        }
        self.send(core, network, now);
    }

    /// Drives the sessions with output waiting to be sent to their clients.
    fn send(&mut self, core: &mut Core, network: &mut impl Network, now: Now) {
        while let Some(slot) = self.sending.pop_front() {
            self.drive(slot, false, core, network, now);
        }
    }

    /// Drives one session, which `is_alone` in this turn, or may let its client wait for a few others.
    fn drive(
        &mut self,
        slot: usize,
        is_alone: bool,
        core: &mut Core,
        network: &mut impl Network,
        now: Now,
    ) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let was_stream = session.is_stream();
        self.streams -= usize::from(was_stream);
        let share_bytes = share_bytes(self.streams, self.queue.second_len());
        let driven = catch_unwind(AssertUnwindSafe(|| {
            session.drive(slot, share_bytes, is_alone, core, network, now)
        }));
        let driven = driven.unwrap_or_else(|_| {
            self.defects += 1;
            session.recover(slot, core, network, now)
        });
        let is_stream = session.is_stream();
        self.streams += usize::from(is_stream);
        let goes_on = matches!(driven, Driven::Waiting(_) | Driven::Sending);
        self.is_calm &= was_stream && is_stream && goes_on;
        match driven {
            Driven::Waiting(None) => {}
            Driven::Waiting(Some(deadline)) => {
                if session.wakes_by.is_none_or(|by| deadline < by) {
                    session.wakes_by = Some(deadline);
                    self.timers.set(slot, deadline);
                }
            }
            Driven::Again => self.queue.push(slot),
            Driven::Sending => self.sending.push_back(slot),
            Driven::Close(reason) => self.close(slot, &reason, core, network, now),
        }
    }

    /// The only place where a session ends.
    #[inline(never)]
    fn close(
        &mut self,
        slot: usize,
        reason: &Reason,
        core: &mut Core,
        network: &mut impl Network,
        now: Now,
    ) {
        let session = self.sessions.remove(slot);
        self.streams -= usize::from(session.is_stream());
        log::trace!("connection {slot} closes: {}", reason.message());
        match session.role() {
            Role::Proxy => self.ended.proxy += 1,
            Role::Demo => self.ended.demo += 1,
            Role::Probe(_) => {}
        }
        session.close(slot, reason, core, network, now);
    }

    /// Writes the requests that have ended into the figures.
    pub fn enter_finished(&mut self, core: &mut Core) {
        while catch_unwind(AssertUnwindSafe(|| core.enter_finished())).is_err() {
            log::error!("a defect kept one request out of the figures; all others go on");
            self.defects += 1;
        }
    }

    /// Ends all sessions. Returns how many clients had not received a whole answer.
    pub fn close_all(
        &mut self,
        reason: &Reason,
        core: &mut Core,
        network: &mut impl Network,
        now: Now,
    ) -> usize {
        let is_cut = |session: &Session| session.role() == Role::Proxy && session.awaits_answer();
        let cut = self.sessions.iter().filter(|(_, session)| is_cut(session));
        let cut = cut.count();
        let left: Vec<usize> = self.sessions.iter().map(|(slot, _)| slot).collect();
        for slot in left {
            self.close(slot, reason, core, network, now);
        }
        cut
    }

    /// Sessions that have ended since this was last asked.
    pub fn take_ended(&mut self) -> Ended {
        std::mem::take(&mut self.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::end::End;
    use crate::exchange::testing::{PLATFORM, core, now, permitted};

    #[test]
    fn a_request_that_a_defect_keeps_out_of_the_figures_is_the_only_one() {
        let (mut core, now) = (core("{}", PLATFORM), now());
        for is_sound in [true, false, true] {
            let (mut request, permit) = permitted(&mut core, now);
            permit.release();
            request.route = Some(if is_sound { 0 } else { usize::MAX });
            core.finish(request, End::answered(200), now);
        }
        let mut scheduler = Scheduler::default();
        scheduler.enter_finished(&mut core);
        assert_eq!(scheduler.defects(), 1);
        assert_eq!(core.figures.recent().newest_first().count(), 2);
    }
}
