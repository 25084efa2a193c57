//! After a 101 both sides speak a protocol of their own: bytes pass in both directions as they arrive, until both have
//! ended. If one breaks off, the other gets what came before; their protocol tells whether that is complete.

use std::time::Instant;

use crate::base::buffer::Buffer;
use crate::base::now::Now;
use crate::http::Version;
use crate::http::field::{list_items, values};
use crate::http::response::ResponseHead;
use crate::net::connection::Ended;
use crate::policy::keyring::{Outcome, Permit};

use super::answer::relay_switch;
use super::core::Core;
use super::end::End;
use super::reason::Reason;
use super::request::Request;
use super::{Cx, Ends, Exchange, Step, Upstream};

pub struct Tunnel {
    request: Box<Request>,
    permit: Permit,
    to_platform: Flow,
    to_client: Flow,
}

/// One direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Open,
    /// Its end has been passed on.
    Ended,
}

/// What one direction needs next.
enum Moved {
    /// Nothing until there are bytes or room.
    Waits,
    /// Everything has been passed on, and the sender has ended.
    Ends,
    /// The sender's connection broke.
    Breaks,
}

impl Tunnel {
    /// Writes the 101 for the client, which has room for it. What follows `head` in its buffer belongs to the tunnel.
    pub fn begin(
        mut request: Box<Request>,
        permit: Permit,
        head: &ResponseHead<'_, '_>,
        cx: &mut Cx<'_>,
    ) -> Tunnel {
        cx.core.learn(&request, &permit, Outcome::Answered, cx.now);
        relay_switch(cx.client.output, &mut request, head);
        Tunnel {
            request,
            permit,
            to_platform: Flow::Open,
            to_client: Flow::Open,
        }
    }

    pub fn step(mut self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let Upstream::Open(upstream, _) = std::mem::take(&mut cx.upstream) else {
            return (Exchange::Tunnel(self), Step::Close(Reason::Finished));
        };
        if self.deadline(cx.active_at(&upstream)) <= cx.now.instant {
            return (Exchange::Tunnel(self), Step::Close(Reason::Idle));
        }
        let request = &mut self.request;
        let up = pass_on(&mut cx.client, upstream.output, |count| {
            request.bytes_in += count as u64;
        });
        let now = cx.now.instant;
        let mut platform = upstream;
        let down = pass_on(&mut platform, cx.client.output, |count| {
            request.bytes_out += count as u64;
            request.first_byte_at.get_or_insert(now);
        });
        match (self.to_platform, up, self.to_client, down) {
            (_, Moved::Breaks, _, _) if platform.has_sent_all() => {
                (Exchange::Tunnel(self), Step::Close(Reason::Finished))
            }
            (_, _, _, Moved::Breaks) if cx.client.has_sent_all() => {
                (Exchange::Tunnel(self), Step::Close(Reason::Finished))
            }
            (Flow::Open, Moved::Ends, _, _) if platform.has_sent_all() => {
                self.to_platform = Flow::Ended;
                (Exchange::Tunnel(self), Step::ShutdownUpstream)
            }
            (_, _, Flow::Open, Moved::Ends) if cx.client.has_sent_all() => {
                self.to_client = Flow::Ended;
                (Exchange::Tunnel(self), Step::Shutdown)
            }
            (Flow::Ended, _, Flow::Ended, _) => {
                (Exchange::Tunnel(self), Step::Close(Reason::Finished))
            }
            (Flow::Open | Flow::Ended, _, Flow::Open | Flow::Ended, _) => {
                (Exchange::Tunnel(self), Step::Wait)
            }
        }
    }

    pub fn deadline(&self, active_at: Instant) -> Instant {
        active_at + self.request.site.settings.idle_timeout
    }

    /// However a tunnel ends, its answer was the 101.
    pub fn abort(self, core: &mut Core, now: Now) {
        self.permit.release();
        core.finish(self.request, End::answered(101), now);
    }
}

/// Moves what there is room for.
fn pass_on(from: &mut Ends<'_>, to: &mut Buffer, mut count_bytes: impl FnMut(usize)) -> Moved {
    let moved = to.append(from.input.unread());
    from.input.consume(moved);
    if moved > 0 {
        count_bytes(moved);
    }
    match from.ended {
        Some(Ended::Cleanly) if from.input.is_empty() => Moved::Ends,
        Some(Ended::Broken(_)) if from.input.is_empty() => Moved::Breaks,
        Some(Ended::Cleanly | Ended::Broken(_)) | None => Moved::Waits,
    }
}

/// What is wrong with a 101 that does not switch to what was offered.
pub const UNASKED_SWITCH: &str = "it switched protocols unasked";

/// Whether a 101 switches to what the client has `offered` (RFC 9110 section 7.8), and to nothing else.
pub fn switches(head: &ResponseHead<'_, '_>, offered: Option<&str>) -> bool {
    let Some(offered) = offered else {
        return false;
    };
    let mut chosen = values(head.fields, "upgrade")
        .flat_map(list_items)
        .peekable();
    let is_offered = |protocol: &[u8]| {
        list_items(offered.as_bytes()).any(|item| item.eq_ignore_ascii_case(protocol))
    };
    head.version == Version::Http11
        && head.has_upgrade()
        && chosen.peek().is_some()
        && chosen.all(is_offered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::testing::{
        PLATFORM, buffer, core, drain, ends, now, permitted, step_between,
    };
    use crate::net::dial::Origin;

    fn tunnel(core: &mut Core, begun: Now) -> Exchange {
        let (request, permit) = permitted(core, begun);
        Exchange::Tunnel(Tunnel {
            permit,
            request,
            to_platform: Flow::Open,
            to_client: Flow::Open,
        })
    }

    /// What a tunnel does when one side has said something and ended, once the other side has taken that.
    fn what_follows_last_words(of_client: bool, ended: Ended) -> Step {
        let (mut core, now) = (core("{}", PLATFORM), now());
        let mut exchange = tunnel(&mut core, now);
        let [mut words, mut taken, mut silence, mut unused] =
            [b"last words".as_slice(), b"", b"", b""].map(buffer);
        for is_taken in [false, true] {
            if is_taken {
                assert_eq!(drain(&mut taken), b"last words");
            }
            let speaker = Ends {
                ended: Some(ended),
                ..ends(&mut words, &mut unused, now)
            };
            let listener = ends(&mut silence, &mut taken, now);
            let (client, platform) = match of_client {
                true => (speaker, listener),
                false => (listener, speaker),
            };
            let upstream = Upstream::Open(platform, Origin::Fresh);
            let (next, step) = step_between(exchange, client, upstream, &mut core, now);
            exchange = next;
            let Exchange::Tunnel(tunnel) = &exchange else {
                unreachable!("it goes on");
            };
            assert_eq!(tunnel.request.first_byte_at.is_none(), of_client);
            assert_eq!(exchange.ends_with_connection(!is_taken), !is_taken);
            if is_taken {
                exchange.abort(&Reason::Finished, &mut core, now);
                return step;
            }
            assert!(matches!(step, Step::Wait), "{of_client} {ended:?}");
        }
        unreachable!("they are taken")
    }

    #[test]
    fn what_came_before_one_side_ended_or_broke_off_reaches_the_other() {
        let broken = Ended::Broken(std::io::ErrorKind::UnexpectedEof);
        for of_client in [false, true] {
            let step = what_follows_last_words(of_client, broken);
            assert!(matches!(step, Step::Close(Reason::Finished)));
        }
        let step = what_follows_last_words(false, Ended::Cleanly);
        assert!(matches!(step, Step::Shutdown));
        let step = what_follows_last_words(true, Ended::Cleanly);
        assert!(matches!(step, Step::ShutdownUpstream));
    }

    #[test]
    fn a_tunnel_lives_as_long_as_one_side_speaks() {
        let (mut core, begun) = (core("{}", PLATFORM), now());
        let idle_timeout = core.site.settings.idle_timeout;
        let now = begun.after(idle_timeout);
        // (when bytes of client and platform last moved, whether the tunnel ends)
        let rows = [
            (begun, now, false),
            (now, begun, false),
            (begun, begun, true),
        ];
        for (client_at, platform_at, is_over) in rows {
            let exchange = tunnel(&mut core, begun);
            let [mut one, mut two, mut three, mut four] = [b"".as_slice(); 4].map(buffer);
            let client = ends(&mut one, &mut two, client_at);
            let platform = ends(&mut three, &mut four, platform_at);
            let upstream = Upstream::Open(platform, Origin::Fresh);
            let (exchange, step) = step_between(exchange, client, upstream, &mut core, now);
            exchange.abort(&Reason::Idle, &mut core, now);
            match is_over {
                true => assert!(matches!(step, Step::Close(Reason::Idle))),
                false => assert!(matches!(step, Step::Wait)),
            }
        }
    }
}
