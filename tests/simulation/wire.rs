//! One TCP connection as the kernel shows it to the proxy: two queues, two ends, and edges instead of levels.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;

use ai_api_proxy::net::connection::Hints;
use ai_api_proxy::net::transport::Link;

use super::random::Random;

pub type Shared = Rc<RefCell<Wire>>;

/// How a direction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Fin,
    Reset,
}

/// What the peer receives from the proxy.
#[derive(Debug)]
pub enum Got {
    Bytes(Vec<u8>),
    Nothing,
    End(End),
}

pub struct Wire {
    random: Random,
    /// Whether reads and writes are cut short and blocked at random.
    pub is_rough: bool,
    inbound: VecDeque<u8>,
    inbound_max: usize,
    inbound_end: Option<End>,
    /// The peer's FIN waits behind a full receive buffer: the kernel has not received it.
    fin_waits: bool,
    /// The peer has closed both directions: anything written to it causes a reset.
    peer_is_gone: bool,
    outbound: VecDeque<u8>,
    outbound_max: usize,
    outbound_end: Option<End>,
    write_is_blocked: bool,
    resets_on_close: bool,
    pub proxy_has_closed: bool,
    /// What the poll has not reported yet.
    pub pending: Hints,
    /// Counts all reads and writes of the proxy, to detect endless turns.
    calls: Rc<Cell<u64>>,
}

impl Wire {
    pub fn new(random: &mut Random, calls: Rc<Cell<u64>>) -> Wire {
        let sizes = [200, 3_000, 40_000, 200_000];
        Wire {
            is_rough: random.percent(50),
            inbound: VecDeque::new(),
            inbound_max: random.pick(&sizes),
            inbound_end: None,
            fin_waits: false,
            peer_is_gone: false,
            outbound: VecDeque::new(),
            outbound_max: random.pick(&sizes),
            outbound_end: None,
            write_is_blocked: false,
            resets_on_close: false,
            proxy_has_closed: false,
            pending: Hints::NONE,
            calls,
            random: random.fork(),
        }
    }

    fn raise(&mut self, peer_closed: bool) {
        let writable = self.outbound.len() < self.outbound_max;
        self.pending.join(Hints::new(true, writable, peer_closed));
    }

    /// The peer sends; returns how many bytes were taken.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        assert!(
            self.inbound_end.is_none() && !self.fin_waits,
            "the peer has ended"
        );
        if bytes.is_empty() {
            return 0;
        }
        if self.proxy_has_closed {
            // The other end is closed: a reset comes back, and it may discard what was not read.
            self.break_outbound();
            return bytes.len();
        }
        let count = bytes.len().min(self.inbound_max - self.inbound.len());
        self.inbound.extend(&bytes[..count]);
        if count > 0 {
            self.raise(false);
        }
        count
    }

    /// From now on, what is sent arrives whole.
    pub fn become_smooth(&mut self) {
        self.is_rough = false;
        self.inbound_max = self.inbound_max.max(40_000);
    }

    /// Whether the proxy has read everything.
    pub fn is_drained(&self) -> bool {
        self.inbound.is_empty()
    }

    /// The peer ends its direction.
    pub fn finish(&mut self) {
        if self.inbound_end.is_some() || self.fin_waits {
            return;
        }
        if self.inbound.len() == self.inbound_max {
            self.fin_waits = true;
            return;
        }
        self.inbound_end = Some(End::Fin);
        self.raise(true);
    }

    /// The peer closes: with unread bytes that is a reset.
    pub fn close(&mut self) {
        if !self.outbound.is_empty() {
            return self.reset();
        }
        self.peer_is_gone = true;
        self.finish();
    }

    pub fn reset(&mut self) {
        self.peer_is_gone = true;
        self.fin_waits = false;
        if self.random.percent(50) {
            self.inbound.clear();
        }
        self.inbound_end = Some(End::Reset);
        self.raise(true);
    }

    /// The peer reads at most `max` bytes.
    pub fn receive(&mut self, max: usize) -> Got {
        if self.outbound.is_empty() {
            return match self.outbound_end {
                Some(end) => Got::End(end),
                None => Got::Nothing,
            };
        }
        let count = max.min(self.outbound.len());
        let bytes: Vec<u8> = self.outbound.drain(..count).collect();
        if self.write_is_blocked && self.outbound.len() * 3 <= self.outbound_max * 2 {
            self.write_is_blocked = false;
            self.pending.join(Hints::new(false, true, false));
        }
        match bytes.is_empty() {
            true => Got::Nothing,
            false => Got::Bytes(bytes),
        }
    }

    fn break_outbound(&mut self) {
        let left = self.random.between(0, self.outbound.len());
        self.outbound.truncate(left);
        self.outbound_end = Some(End::Reset);
    }

    fn proxy_reads(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.calls.set(self.calls.get() + 1);
        assert!(!space.is_empty(), "a read without room");
        if self.is_rough && self.random.percent(1) {
            return Err(ErrorKind::Interrupted.into());
        }
        if self.inbound.is_empty() {
            return match self.inbound_end {
                None => Err(ErrorKind::WouldBlock.into()),
                Some(End::Fin) => Ok(0),
                Some(End::Reset) => Err(ErrorKind::ConnectionReset.into()),
            };
        }
        let mut count = space.len().min(self.inbound.len());
        if self.is_rough && self.random.percent(30) {
            count = self.random.between(1, count);
        }
        for (place, byte) in space.iter_mut().zip(self.inbound.drain(..count)) {
            *place = byte;
        }
        if !self.inbound.is_empty() {
            // A short read has drained the kernel's buffer: the rest arrives just now, with an edge.
            self.raise(self.inbound_end.is_some());
        }
        if self.fin_waits {
            self.fin_waits = false;
            self.inbound_end = Some(End::Fin);
            self.raise(true);
        }
        Ok(count)
    }

    fn proxy_writes(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls.set(self.calls.get() + 1);
        assert!(!bytes.is_empty(), "a write of nothing");
        assert!(self.outbound_end.is_none(), "a write after the end");
        if self.inbound_end == Some(End::Reset) {
            return Err(self
                .random
                .pick(&[ErrorKind::ConnectionReset, ErrorKind::BrokenPipe])
                .into());
        }
        if self.peer_is_gone {
            self.inbound.clear();
            self.inbound_end = Some(End::Reset);
            self.raise(true);
            return Ok(bytes.len());
        }
        let mut count = bytes.len().min(self.outbound_max - self.outbound.len());
        if count == 0 {
            self.write_is_blocked = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.is_rough && self.random.percent(30) {
            if self.random.percent(30) {
                self.pending.join(Hints::new(false, true, false));
                return Err(ErrorKind::WouldBlock.into());
            }
            count = self.random.between(1, count);
        }
        self.outbound.extend(&bytes[..count]);
        Ok(count)
    }

    fn proxy_closes(&mut self) {
        self.proxy_has_closed = true;
        self.pending = Hints::NONE;
        if self.resets_on_close || !self.inbound.is_empty() {
            self.break_outbound();
        } else if self.outbound_end.is_none() {
            self.outbound_end = Some(End::Fin);
        }
    }
}

/// The proxy's end.
pub struct ProxyEnd(pub Shared);

impl Read for ProxyEnd {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().proxy_reads(space)
    }
}

impl Write for ProxyEnd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().proxy_writes(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link for ProxyEnd {
    fn shutdown(&mut self) {
        let mut wire = self.0.borrow_mut();
        if wire.outbound_end.is_none() {
            wire.outbound_end = Some(End::Fin);
        }
    }

    fn reset(&mut self) {
        self.0.borrow_mut().resets_on_close = true;
    }
}

impl Drop for ProxyEnd {
    fn drop(&mut self) {
        self.0.borrow_mut().proxy_closes();
    }
}
