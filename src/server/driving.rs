//! Who is driven in a turn, in which order, and how much of it: streams first, then a bounded part of all others. Whole
//! answers are sent for several clients at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::base::work::{CLOSE_BYTES, REST_BESIDE_STREAMS_BYTES_MAX, REST_BYTES_MAX};
use crate::exchange::reason::Reason;
use crate::exchange::request::Role;
use crate::session::Driven;

use super::Server;

/// So many answers at most wait for each other. The kernel reads many times and then sends many times in less time than by
/// turns: a request takes 4 % less of it with 16, and no less with more.
const SENDING_MAX: usize = 16;

impl Server {
    pub(super) fn drive_all(&mut self) {
        let mut running = std::mem::take(&mut self.running);
        self.queue.take_first_into(&mut running);
        for slot in running.drain(..) {
            self.advance(slot);
        }
        self.running = running;
        self.send();
        let worked_bytes_max = match self.streams {
            0 => REST_BYTES_MAX,
            _ => REST_BESIDE_STREAMS_BYTES_MAX,
        };
        let mut worked_bytes = 0;
        for _ in 0..self.queue.second_len() {
            if worked_bytes > worked_bytes_max {
                break;
            }
            if let Some(slot) = self.queue.pop_second() {
                worked_bytes += self.advance(slot);
            }
        }
        self.send();
    }

    /// Drives one whose turn begins. Returns how much work that was.
    fn advance(&mut self, slot: usize) -> usize {
        let worked_bytes = self.drive(slot);
        match self.sending.len() < SENDING_MAX {
            true => worked_bytes,
            false => worked_bytes + self.send(),
        }
    }

    /// Drives those whose answers wait to be sent. Returns how much work that was.
    fn send(&mut self) -> usize {
        let mut worked_bytes = 0;
        while let Some(slot) = self.sending.pop_front() {
            worked_bytes += self.drive(slot);
        }
        worked_bytes
    }

    /// Drives one on. Returns how much work that was.
    fn drive(&mut self, slot: usize) -> usize {
        let Some(session) = self.sessions.get_mut(slot) else {
            return 0;
        };
        self.streams -= usize::from(session.is_stream());
        let begun_bytes = session.begun_bytes();
        let (core, network, now) = (&mut self.core, &mut self.network, self.now);
        let driven = catch_unwind(AssertUnwindSafe(|| session.drive(slot, core, network, now)));
        let driven = driven.unwrap_or_else(|_| {
            log::error!("a defect ended one request; all others go on");
            session.recover(slot, core, network, now)
        });
        self.streams += usize::from(session.is_stream());
        let worked_bytes = session.worked_bytes() - begun_bytes;
        match driven {
            Driven::Waiting(None) => {}
            Driven::Waiting(Some(deadline)) => self.timers.set(slot, deadline),
            Driven::Again => self.queue.push(slot),
            Driven::Sending => self.sending.push_back(slot),
            Driven::Close(reason) => {
                self.close(slot, reason);
                return worked_bytes + CLOSE_BYTES;
            }
        }
        worked_bytes
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
