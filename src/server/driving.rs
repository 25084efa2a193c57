//! Who is driven in a turn, in which order, and how much of it: streams first, then a bounded part of all others. What
//! is little is sent for several clients at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::base::work::{
    REST_BESIDE_STREAMS_MAX, REST_MAX, SHARE_BESIDE_STREAMS_BYTES_MAX, SHARE_BYTES_MAX,
};
use crate::exchange::reason::Reason;
use crate::exchange::request::Role;
use crate::session::Driven;

use super::{Server, moment};

/// So many clients at most wait for each other. The kernel reads many times and then sends many times in less time than by
/// turns: a request takes 4 % less of it with 16, and no less with more.
const SENDING_MAX: usize = 16;

/// The same among streams, while there is nothing else to be done: an event takes 5 % less with 4, and no less with more.
/// In a turn with both, each sends at once.
const STREAMS_SENDING_MAX: usize = 4;

/// How often the clock is looked at while there are no streams. After each one it took 0.7 % of a short request's time.
const DRIVEN_PER_LOOK: usize = 8;

impl Server {
    /// Drives the streams that have news.
    pub(super) fn drive_first(&mut self) {
        let mut running = std::mem::take(&mut self.running);
        self.queue.take_first_into(&mut running);
        let sending_max = match self.queue.second_len() {
            0 => STREAMS_SENDING_MAX,
            _ => 1,
        };
        for slot in running.drain(..) {
            self.drive(slot);
            if self.sending.len() >= sending_max {
                self.send();
            }
        }
        self.running = running;
        self.send();
    }

    /// How long a turn may take for sessions that are no streams.
    pub(super) fn rest_max(&self) -> Duration {
        match self.streams {
            0 => REST_MAX,
            _ => REST_BESIDE_STREAMS_MAX,
        }
    }

    /// Drives sessions that are no streams until then, each at most once and one at least.
    pub(super) fn drive_rest(&mut self, until: Instant) {
        for driven in 1..=self.queue.second_len() {
            if let Some(slot) = self.queue.pop_second() {
                self.drive(slot);
            }
            let has_streams = self.streams > 0;
            if has_streams || self.sending.len() >= SENDING_MAX {
                self.send();
            }
            let looks = has_streams || driven % DRIVEN_PER_LOOK == 0;
            if looks && until <= moment() {
                break;
            }
        }
        self.send();
    }

    /// Drives those for whose clients something waits to be sent.
    fn send(&mut self) {
        while let Some(slot) = self.sending.pop_front() {
            self.drive(slot);
        }
    }

    /// Drives one on.
    fn drive(&mut self, slot: usize) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        self.streams -= usize::from(session.is_stream());
        let share_bytes = match self.streams {
            0 => SHARE_BYTES_MAX,
            _ => SHARE_BESIDE_STREAMS_BYTES_MAX,
        };
        let (core, network, now) = (&mut self.core, &mut self.network, self.now);
        let driven = catch_unwind(AssertUnwindSafe(|| {
            session.drive(slot, share_bytes, core, network, now)
        }));
        let driven = driven.unwrap_or_else(|_| {
            log::error!("a defect ended one request; all others go on");
            session.recover(slot, core, network, now)
        });
        self.streams += usize::from(session.is_stream());
        match driven {
            Driven::Waiting(None) => {}
            Driven::Waiting(Some(deadline)) => self.timers.set(slot, deadline),
            Driven::Again => self.queue.push(slot),
            Driven::Sending => self.sending.push_back(slot),
            Driven::Close(reason) => self.close(slot, reason),
        }
    }

    /// The only place where a session ends.
    pub(super) fn close(&mut self, slot: usize, reason: Reason) {
        let session = self.sessions.remove(slot);
        self.streams -= usize::from(session.is_stream());
        log::trace!("connection {slot} closes: {}", reason.message());
        // A descriptor is free again.
        self.clients.paused_until = None;
        self.demo.paused_until = None;
        match session.role() {
            Role::Proxy => self.clients.open -= 1,
            Role::Demo => self.demo.open -= 1,
            Role::Probe(_) => {}
        }
        session.close(slot, &reason, &mut self.core, &mut self.network, self.now);
    }
}
