//! After a 101 both sides speak a protocol of their own: bytes pass both ways as they come, until both have ended.

use std::time::Instant;

use crate::base::buffer::Buffer;
use crate::base::now::Now;
use crate::http::field::list_items;
use crate::http::response::ResponseHead;
use crate::net::connection::Ended;
use crate::policy::keyring::{Outcome, Permit};

use super::answer::relay_switch;
use super::core::Core;
use super::reason::Reason;
use super::request::Request;
use super::trying::Trying;
use super::{Cx, End, Ends, Exchange, Step, Upstream};

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
    /// Nothing until bytes or room come.
    Waits,
    /// Everything has been passed on, and the sender has ended.
    Ends,
    /// The sender's connection broke.
    Breaks,
}

impl Tunnel {
    /// Writes the 101 for the client, which has room for it. The rest of `head`'s buffer belongs to the tunnel.
    pub fn begin(trying: Trying, head: &ResponseHead<'_, '_>, cx: &mut Cx<'_>) -> Tunnel {
        let Trying {
            request,
            upload,
            permit,
            ..
        } = trying;
        let core = &mut *cx.core;
        core.judge(&request, &permit, Outcome::Answered, cx.now);
        core.discard(upload);
        relay_switch(cx.client.output, &request, head);
        Tunnel {
            request,
            permit,
            to_platform: Flow::Open,
            to_client: Flow::Open,
        }
    }

    pub fn step(mut self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let Upstream::Open(upstream, _) = std::mem::replace(&mut cx.upstream, Upstream::None)
        else {
            return (Exchange::Tunnel(self), Step::Close(Reason::Finished));
        };
        if self.deadline(upstream.active_at.max(cx.client.active_at)) <= cx.now.instant {
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
            (_, Moved::Breaks, _, _) | (_, _, _, Moved::Breaks) => {
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
        core.keyring.release(self.permit);
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

/// Whether a 101 switches to what the client has `offered` (RFC 9110 section 7.8), and to nothing else.
pub fn switches(head: &ResponseHead<'_, '_>, offered: Option<&str>) -> bool {
    let Some(offered) = offered else {
        return false;
    };
    let fields = head
        .fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("upgrade"));
    let mut chosen = fields.flat_map(|field| list_items(field.value)).peekable();
    let is_offered = |protocol: &[u8]| {
        list_items(offered.as_bytes()).any(|item| item.eq_ignore_ascii_case(protocol))
    };
    head.has_upgrade() && chosen.peek().is_some() && chosen.all(is_offered)
}
