//! Connections to platforms that wait for their next request. It knows endpoints by number.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use mio::Token;

use super::connection::{Connection, Hints};
use super::dial::Reuse;
use crate::base::now::Now;

/// Idle connections kept per endpoint; those that a burst opened beyond this number are closed.
const IDLE_PER_ENDPOINT_MAX: usize = 256;

/// How long a connection may be idle. Platforms and their load balancers close at 60 seconds or later, so a connection
/// closed earlier here is never used just as they are closing it.
const IDLE_AGE_MAX: Duration = Duration::from_secs(50);

/// How long a connection that counts as recently used may have been idle. Platforms allow five seconds and more.
const RECENT_AGE_MAX: Duration = Duration::from_secs(1);

/// A connection older than this is no longer kept: its platform may have moved to other machines since, and a busy
/// connection would stay with the former ones for ever.
const AGE_MAX: Duration = Duration::from_secs(3600);

/// Idle connections by endpoint, the last one used on top. Endpoints come and go with reloads.
#[derive(Default)]
pub struct Pool {
    stacks: BTreeMap<usize, VecDeque<Idle>>,
    /// How many connections there are in all of them.
    count: usize,
    /// No connection will have been idle too long before this.
    expires_at: Option<Instant>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// Keeps `connection` for `endpoint`; returns a connection that has to be closed instead, if any.
    pub fn release(
        &mut self,
        endpoint: usize,
        connection: Connection,
        now: Now,
    ) -> Option<Connection> {
        if connection.opened_at() + AGE_MAX <= now.instant {
            return Some(connection);
        }
        let stack = self.stacks.entry(endpoint).or_default();
        stack.push_back(Idle {
            connection,
            since: now.instant,
        });
        self.expires_at.get_or_insert(now.instant + IDLE_AGE_MAX);
        if stack.len() <= IDLE_PER_ENDPOINT_MAX {
            self.count += 1;
            return None;
        }
        stack.pop_front().map(|idle| idle.connection)
    }

    /// The connection used last, if `reuse` allows it: it is the likeliest to be alive, and the others may expire.
    pub fn take(&mut self, endpoint: usize, reuse: Reuse, now: Now) -> Option<Connection> {
        let stack = self.stacks.get_mut(&endpoint)?;
        let last = stack.back()?;
        let will_do = match reuse {
            Reuse::Yes => true,
            Reuse::Recent => now.instant <= last.since + RECENT_AGE_MAX,
            Reuse::No => false,
        };
        if !will_do {
            return None;
        }
        self.count -= 1;
        stack.pop_back().map(|idle| idle.connection)
    }

    /// Handles an event of an idle connection. If the peer closed it or sent bytes that nobody asked for, it is
    /// returned to be closed; on a TLS connection session tickets may arrive.
    pub fn on_event(
        &mut self,
        endpoint: usize,
        token: Token,
        news: Hints,
        still_idle: impl FnOnce(&mut Connection) -> bool,
    ) -> Option<Connection> {
        let stack = self.stacks.get_mut(&endpoint)?;
        let place = stack
            .iter()
            .position(|idle| idle.connection.token() == token)?;
        let connection = &mut stack[place].connection;
        connection.hint(news);
        if still_idle(connection) {
            return None;
        }
        self.count -= 1;
        stack.remove(place).map(|idle| idle.connection)
    }

    /// A connection that has been idle too long, to be closed. Stacks that are empty by then are forgotten.
    pub fn expire(&mut self, now: Now) -> Option<Connection> {
        if self.expires_at.is_none_or(|at| now.instant < at) {
            return None;
        }
        self.stacks.retain(|_, stack| !stack.is_empty());
        let oldest = self.stacks.values().filter_map(|stack| stack.front());
        self.expires_at = oldest.map(|idle| idle.since + IDLE_AGE_MAX).min();
        match self.expires_at.is_some_and(|at| at <= now.instant) {
            true => self.take_oldest(),
            false => None,
        }
    }

    /// The connection that has been idle longest, whatever its endpoint.
    pub fn take_oldest(&mut self) -> Option<Connection> {
        let since = |stack: &&mut VecDeque<Idle>| stack.front().map(|idle| idle.since);
        let filled = self.stacks.values_mut().filter(|stack| !stack.is_empty());
        let oldest = filled.min_by_key(since)?.pop_front()?;
        self.count -= 1;
        Some(oldest.connection)
    }

    /// When [`Pool::expire`] has something to do. That may be only to find the next such time, if the connection that
    /// would have been due has been used since.
    pub fn deadline(&self) -> Option<Instant> {
        self.expires_at
    }

    /// How many connections are idle.
    pub fn count(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::now;
    use crate::net::transport::Transport;

    #[test]
    fn a_connection_is_kept_again_until_it_is_old() {
        let opened = now();
        let second = Duration::from_secs(1);
        for (age, is_kept) in [(AGE_MAX - second, true), (AGE_MAX, false)] {
            let mut pool = Pool::default();
            let connection = Connection::new(Transport::Nobody, Token(0), Hints::FRESH, opened);
            let closed = pool.release(0, connection, opened.after(age));
            assert_eq!(
                (closed.is_none(), pool.count()),
                (is_kept, usize::from(is_kept))
            );
        }
    }

    #[test]
    fn who_was_used_last_is_used_next_and_who_has_waited_longest_goes_first() {
        let begun = now();
        let second = Duration::from_secs(1);
        let mut pool = Pool::default();
        let token = |connection: Option<Connection>| connection.map(|found| found.token().0);
        let release = |pool: &mut Pool, endpoint, number: usize| {
            let now = begun.after(second * number as u32);
            let connection = Connection::new(Transport::Nobody, Token(number), Hints::FRESH, now);
            token(pool.release(endpoint, connection, now))
        };
        for number in 0..IDLE_PER_ENDPOINT_MAX {
            assert_eq!(release(&mut pool, number % 2, number), None);
        }
        assert_eq!(pool.deadline(), Some(begun.instant + IDLE_AGE_MAX));
        let last = IDLE_PER_ENDPOINT_MAX - 1;
        let recent = begun.after(second * last as u32 + RECENT_AGE_MAX);
        let late = recent.after(Duration::from_nanos(1));
        assert_eq!(token(pool.take(1, Reuse::No, recent)), None);
        assert_eq!(token(pool.take(1, Reuse::Recent, late)), None);
        assert_eq!(token(pool.take(1, Reuse::Recent, recent)), Some(last));
        assert_eq!(token(pool.take(1, Reuse::Yes, late)), Some(last - 2));
        assert_eq!(token(pool.take_oldest()), Some(0));
        let due = begun.after(second + IDLE_AGE_MAX);
        assert_eq!(token(pool.expire(due)), Some(1));
        assert_eq!(token(pool.expire(due)), None);
        let first = IDLE_PER_ENDPOINT_MAX;
        for number in first..2 * IDLE_PER_ENDPOINT_MAX {
            assert_eq!(release(&mut pool, 2, number), None);
        }
        let surplus = release(&mut pool, 2, 2 * IDLE_PER_ENDPOINT_MAX);
        assert_eq!(surplus, Some(first));
        assert_eq!(
            [0; 2].map(|_| token(pool.take_oldest())),
            [Some(2), Some(3)]
        );
        assert_eq!(token(pool.take(3, Reuse::Yes, late)), None);
    }

    #[test]
    fn an_endpoint_that_is_not_used_any_more_leaves_nothing_behind() {
        let mut now = now();
        let mut pool = Pool::default();
        for endpoint in 0..3 {
            let connection = Connection::new(Transport::Nobody, Token(0), Hints::FRESH, now);
            assert!(pool.release(endpoint, connection, now).is_none());
            now = now.after(IDLE_AGE_MAX);
            assert!(pool.expire(now).is_some());
            let kept: Vec<usize> = pool.stacks.keys().copied().collect();
            assert_eq!(kept, [endpoint], "until something is too old again");
        }
    }
}
