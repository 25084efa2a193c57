//! `/events`: one rendering a second for all listeners, and none while there are none.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::base::now::Now;
use crate::base::queue::RunQueue;

/// How often the figures are sent.
const PERIOD: Duration = Duration::from_secs(1);

/// The latest event and the sessions that await the next one.
#[derive(Default)]
pub struct Feed {
    latest: Option<Latest>,
    listeners: RunQueue,
}

struct Latest {
    event: Rc<[u8]>,
    rendered_at: Instant,
}

impl Feed {
    /// The latest event, unless it is too old to begin a stream with.
    pub fn latest(&self, now: Now) -> Option<Rc<[u8]>> {
        let latest = self.latest.as_ref()?;
        (now.instant < latest.rendered_at + PERIOD).then(|| Rc::clone(&latest.event))
    }

    /// Wakes the session when the next event is there.
    pub fn listen(&mut self, session: usize) {
        self.listeners.push_first(session);
    }

    /// When the next event is due; none while nobody listens.
    pub fn deadline(&self) -> Option<Instant> {
        let latest = self
            .latest
            .as_ref()
            .filter(|_| !self.listeners.is_empty())?;
        Some(latest.rendered_at + PERIOD)
    }

    /// Publishes the figures as a `stats` event. Returns the sessions that awaited it, which are to be woken.
    pub fn publish(&mut self, stats: &[u8], now: Now) -> Vec<usize> {
        let event = [b"event: stats\ndata: ", stats, b"\n\n"].concat();
        self.latest = Some(Latest {
            event: event.into(),
            rendered_at: now.instant,
        });
        self.take_listeners()
    }

    /// Takes the sessions that await an event, which are to be woken and no longer await one.
    pub fn take_listeners(&mut self) -> Vec<usize> {
        let mut listeners = Vec::new();
        self.listeners.take_first_into(&mut listeners);
        listeners
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::now;

    #[test]
    fn one_rendering_a_second_while_somebody_listens() {
        let start = now();
        let mut feed = Feed::default();
        assert_eq!(feed.latest(start), None);
        assert_eq!(feed.publish(b"{}", start), Vec::<usize>::new());
        assert_eq!(feed.deadline(), None, "nobody listens");
        assert_eq!(
            feed.latest(start).as_deref(),
            Some(&b"event: stats\ndata: {}\n\n"[..])
        );
        feed.listen(3);
        feed.listen(5);
        feed.listen(3);
        assert_eq!(feed.deadline(), Some(start.instant + PERIOD));
        let later = start.after(PERIOD);
        assert_eq!(feed.latest(later), None, "too old for who comes now");
        assert_eq!(feed.publish(b"{}", later), [3, 5]);
        assert_eq!(feed.deadline(), None);
    }

    /// This would take minutes if each listener looked at all others.
    #[test]
    fn a_multitude_listens() {
        let mut feed = Feed::default();
        let sessions: Vec<usize> = (0..400_000).collect();
        for session in sessions.iter().chain(&sessions) {
            feed.listen(*session);
        }
        assert_eq!(feed.take_listeners(), sessions);
    }
}
