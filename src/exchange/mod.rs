//! One request's life as a state machine: it is told bytes and time, and says what it wants. It never sees a socket.
//!
//! ```text
//! Reading -> Choosing -> Trying -> [Interim] -> Relaying -> Reading | Discarding | Closing
//!    |                   ^___|  '-----'--> Tunnel -> Closed
//!    |-> [Collecting] -> Replying -> Reading | Discarding | Closing
//! ```
//!
//! An error in `Choosing`, `Trying` or `Interim` leads to `Replying`: the client has not received a final head yet.

pub mod admission;
pub mod answer;
pub mod choosing;
pub mod closing;
pub mod collecting;
pub mod core;
pub mod discarding;
pub mod end;
mod failure;
pub mod feed;
pub mod forward;
pub mod interim;
mod kept;
pub mod reading;
pub mod reason;
pub mod relaying;
pub mod replying;
pub mod request;
pub mod rest;
#[cfg(test)]
pub mod testing;
pub mod transfer;
pub mod trying;
pub mod tunnel;
pub mod upload;

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use crate::base::buffer::{Buffer, UNFINISHED_BYTES_MAX};
use crate::base::now::Now;
use crate::http::HEAD_BYTES_MAX;
use crate::http::body::Decoder;
use crate::http::malformed::Malformed;
use crate::http::response::Asked;
use crate::net::connection::Ended;
use crate::net::dial::{Endpoint, Origin, Progress, Reuse};
use crate::net::fault::Fault;
use crate::policy::keyring::KeyId;

use self::choosing::Choosing;
use self::closing::Closing;
use self::collecting::Collecting;
use self::core::Core;
use self::discarding::Discarding;
use self::interim::Interim;
use self::reading::Reading;
use self::reason::Reason;
use self::relaying::Relaying;
use self::replying::Replying;
use self::request::{Afterwards, Request, Role};
use self::trying::Trying;
use self::tunnel::Tunnel;
use self::upload::Upload;

const _: () = assert!(HEAD_BYTES_MAX <= UNFINISHED_BYTES_MAX);

/// The state of a client's connection. Each state holds its own data.
pub enum Exchange {
    /// Awaits a request's head.
    Reading(Reading),
    /// Picks a key for the first try.
    Choosing(Choosing),
    /// Sends a request, or has sent it, and awaits the answer's head. The client has not received any of an answer.
    Trying(Trying),
    /// Passes interim answers on and awaits the final one.
    Interim(Interim),
    /// Passes the final answer on.
    Relaying(Relaying),
    /// Passes bytes both ways after a 101.
    Tunnel(Tunnel),
    /// Awaits the body of a request that the program itself answers.
    Collecting(Collecting),
    /// Sends an answer that the program itself generates.
    Replying(Box<Replying>),
    /// The answer has left; the rest of the request is read and dropped.
    Discarding(Discarding),
    /// The last answer is on its way; what the client still sends is dropped.
    Closing(Closing),
    /// Has ended; nothing is left to be settled.
    Closed,
}

/// Most states are moved out of the session and back at each step: at this size that takes a few vector instructions.
const _: () = assert!(size_of::<Exchange>() <= 128);

/// What an exchange asks its session to do.
pub enum Step {
    /// Nothing more can be done until bytes move or time passes.
    Wait,
    /// Like `Wait`, but only input, or time, can change that: sending output does not.
    Starve,
    /// The next state has work to do at once.
    Again,
    /// Get a connection to this endpoint, in place of any existing one.
    Dial {
        endpoint: Rc<Endpoint>,
        reuse: Reuse,
    },
    /// Close the upstream connection, whose answer is complete, then go on.
    Hangup,
    /// Give up the upstream connection midway, then go on.
    Abandon,
    /// Keep the upstream connection for another request, then go on.
    Release,
    /// End our direction to the client: everything has been sent.
    Shutdown,
    /// The same towards the platform.
    ShutdownUpstream,
    /// Close everything.
    Close(Reason),
}

/// What one step may see and touch.
pub struct Cx<'s> {
    pub now: Now,
    pub core: &'s mut Core,
    /// The session's slot, by which it is woken for events other than those of its own connections.
    pub session: usize,
    /// This and the next are not copied: only a request's first steps look at them.
    pub role: &'s Role,
    /// The address at the other end of the client's socket.
    pub peer: &'s IpAddr,
    pub client: Ends<'s>,
    pub upstream: Upstream<'s>,
}

impl Cx<'_> {
    /// When bytes last moved, at the client's side or the platform's.
    fn active_at(&self, upstream: &Ends<'_>) -> Instant {
        upstream.active_at.max(self.client.active_at)
    }
}

/// Both directions of one connection.
pub struct Ends<'s> {
    pub input: &'s mut Buffer,
    pub output: &'s mut Buffer,
    /// TLS holds records that the kernel has not accepted yet: their content is no longer in `output`.
    pub holds_records: bool,
    /// How the peer's direction ended, once it has and everything before its end has been read.
    pub ended: Option<Ended>,
    /// When bytes last moved, in either direction.
    pub active_at: Instant,
}

impl Ends<'_> {
    /// Whether all that was written has been sent.
    pub fn has_sent_all(&self) -> bool {
        self.output.is_empty() && !self.holds_records
    }
}

/// The connection to the platform.
#[derive(Default)]
pub enum Upstream<'s> {
    #[default]
    None,
    Dialing(Progress),
    Open(Ends<'s>, Origin),
    Failed(&'s Fault),
}

impl Exchange {
    /// A connection that was just accepted.
    pub fn new(now: Now) -> Exchange {
        Exchange::Reading(Reading::opening(now))
    }

    /// A probe of `key`, a key of the route at `place`.
    pub fn probe(place: usize, key: KeyId, core: &mut Core, now: Now) -> Exchange {
        let mut request = core.new_request(Role::Probe(key), now);
        request.route = Some(place);
        let site = Rc::clone(&request.site);
        let platform = &site.routes[place].platform;
        request.asked = Asked::by(&platform.health_method);
        let body = platform.health_body.as_deref().unwrap_or_default();
        let head = &site.routes[place].probe_head;
        let upload = Upload::complete(head, body.as_bytes(), &mut core.blocks, &core.retry_memory);
        let upload = core.uploads.hold(upload);
        Exchange::Choosing(Choosing::new(request, upload))
    }

    /// A connection on which the client sent plain text although TLS is required: it gets an error answer. `unread` is
    /// what has arrived of its request.
    pub fn refuse_plain_text(unread: &[u8], role: Role, core: &mut Core, now: Now) -> Exchange {
        let reason = Reason::Malformed(Malformed::NotTls);
        Exchange::last_words(&reason, reading::asked_by(unread), role, core, now)
    }

    /// A connection whose request was lost to a defect before a byte of its answer was sent: it gets an error answer.
    pub fn after_defect(role: Role, core: &mut Core, now: Now) -> Exchange {
        Exchange::last_words(&Reason::Bug, Asked::Other, role, core, now)
    }

    /// The answer to a request about which nothing else is known. The connection ends with it.
    fn last_words(
        reason: &Reason,
        asked: Asked,
        role: Role,
        core: &mut Core,
        now: Now,
    ) -> Exchange {
        let mut request = core.new_request(role, now);
        request.asked = asked;
        let reply = replying::error_reply(reason);
        Exchange::Replying(Replying::new(request, reply, Decoder::Done, now))
    }

    /// Takes one step. A body that is passed on stays where it is: taking the state out and putting it back, as for all
    /// others, is 6 % of the instructions of a stream's event. A defect loses a state that has been taken out.
    pub fn step(&mut self, cx: &mut Cx<'_>) -> Step {
        if let Exchange::Relaying(state) = self
            && let Some(step) = state.step(cx)
        {
            return step;
        }
        self.step_out(cx)
    }

    /// The same with the state taken out.
    #[inline(never)]
    fn step_out(&mut self, cx: &mut Cx<'_>) -> Step {
        let (next, step) = match std::mem::replace(self, Exchange::Closed) {
            Exchange::Reading(state) => state.step(cx),
            Exchange::Choosing(state) => state.step(cx),
            Exchange::Trying(state) => state.step(cx),
            Exchange::Interim(state) => state.step(cx),
            Exchange::Relaying(state) => state.complete(cx),
            Exchange::Tunnel(state) => state.step(cx),
            Exchange::Collecting(state) => state.step(cx),
            Exchange::Replying(state) => state.step(cx),
            Exchange::Discarding(state) => state.step(cx),
            Exchange::Closing(state) => state.step(cx),
            Exchange::Closed => (Exchange::Closed, Step::Close(Reason::Finished)),
        };
        *self = next;
        step
    }

    /// Everything written for the client has been sent.
    pub fn on_sent_to_client(&mut self, now: Now) {
        if let Exchange::Reading(state) = self {
            state.on_sent(now);
        }
    }

    /// Everything written for the platform has been sent.
    pub fn on_sent_upstream(&mut self, now: Now) {
        if let Exchange::Trying(state) = self {
            state.on_sent(now);
        }
    }

    /// When the state times out. `client_at` and `upstream_at` say when bytes last moved on each side.
    pub fn deadline(
        &self,
        core: &Core,
        client_at: Instant,
        upstream_at: Instant,
    ) -> Option<Instant> {
        let active_at = client_at.max(upstream_at);
        match self {
            Exchange::Reading(state) => Some(state.deadline(core, client_at)),
            Exchange::Choosing(_) => None,
            Exchange::Trying(state) => Some(state.deadline(active_at)),
            Exchange::Interim(state) => Some(state.deadline(active_at)),
            Exchange::Relaying(state) => Some(state.deadline(active_at)),
            Exchange::Tunnel(state) => Some(state.deadline(active_at)),
            Exchange::Collecting(state) => Some(state.deadline(client_at)),
            Exchange::Replying(state) => state.deadline(client_at),
            Exchange::Discarding(state) => Some(state.deadline()),
            Exchange::Closing(state) => Some(state.deadline(core, client_at)),
            Exchange::Closed => None,
        }
    }

    /// Whether bytes from the client are of use now.
    pub fn wants_client(&self) -> bool {
        match self {
            Exchange::Reading(_) | Exchange::Discarding(_) | Exchange::Tunnel(_) => true,
            Exchange::Closing(state) => state.wants_client(),
            Exchange::Trying(state) => state.wants_client(),
            Exchange::Interim(state) => state.rest.wants_client(),
            Exchange::Relaying(state) => state.rest.wants_client(),
            Exchange::Collecting(state) => state.wants_client(),
            Exchange::Choosing(_) | Exchange::Replying(_) | Exchange::Closed => false,
        }
    }

    /// Whether a step may write output for the platform.
    pub fn writes_upstream(&self) -> bool {
        match self {
            Exchange::Trying(_) | Exchange::Tunnel(_) => true,
            Exchange::Interim(state) => !state.rest.is_sent(),
            Exchange::Relaying(state) => !state.rest.is_sent(),
            Exchange::Reading(_)
            | Exchange::Choosing(_)
            | Exchange::Collecting(_)
            | Exchange::Replying(_)
            | Exchange::Discarding(_)
            | Exchange::Closing(_)
            | Exchange::Closed => false,
        }
    }

    /// Whether bytes from the platform are of use now. While the client has not taken all earlier ones, further ones
    /// are better left with the kernel.
    pub fn wants_upstream(&self, client_is_behind: bool) -> bool {
        match self {
            Exchange::Trying(_) | Exchange::Interim(_) => true,
            Exchange::Relaying(_) | Exchange::Tunnel(_) => !client_is_behind,
            Exchange::Reading(_)
            | Exchange::Choosing(_)
            | Exchange::Collecting(_)
            | Exchange::Replying(_)
            | Exchange::Discarding(_)
            | Exchange::Closing(_)
            | Exchange::Closed => false,
        }
    }

    /// Whether no request is under way: a drain closes such a connection at once.
    pub fn is_idle(&self) -> bool {
        match self {
            Exchange::Reading(state) => state.is_idle(),
            Exchange::Closed => true,
            Exchange::Choosing(_)
            | Exchange::Trying(_)
            | Exchange::Interim(_)
            | Exchange::Relaying(_)
            | Exchange::Tunnel(_)
            | Exchange::Collecting(_)
            | Exchange::Replying(_)
            | Exchange::Discarding(_)
            | Exchange::Closing(_) => false,
        }
    }

    /// Whether a request is under way with no byte of its answer sent. `has_input`: unread bytes of the client wait.
    pub fn owes_answer(&self, has_input: bool) -> bool {
        match self {
            Exchange::Reading(_) => has_input,
            Exchange::Choosing(_) | Exchange::Trying(_) | Exchange::Collecting(_) => true,
            Exchange::Replying(state) => !state.has_begun(),
            Exchange::Interim(_)
            | Exchange::Relaying(_)
            | Exchange::Tunnel(_)
            | Exchange::Discarding(_)
            | Exchange::Closing(_)
            | Exchange::Closed => false,
        }
    }

    /// Whether a request is under way during which the client may leave while no bytes from it are awaited.
    pub fn serves_client(&self) -> bool {
        match self {
            Exchange::Choosing(_)
            | Exchange::Trying(_)
            | Exchange::Interim(_)
            | Exchange::Relaying(_)
            | Exchange::Replying(_) => true,
            Exchange::Reading(_)
            | Exchange::Tunnel(_)
            | Exchange::Collecting(_)
            | Exchange::Discarding(_)
            | Exchange::Closing(_)
            | Exchange::Closed => false,
        }
    }

    /// Whether bytes of an answer, or of a tunnel, are passed on as they arrive.
    pub fn is_relaying(&self) -> bool {
        match self {
            Exchange::Relaying(_) | Exchange::Tunnel(_) => true,
            Exchange::Reading(_)
            | Exchange::Choosing(_)
            | Exchange::Trying(_)
            | Exchange::Interim(_)
            | Exchange::Collecting(_)
            | Exchange::Replying(_)
            | Exchange::Discarding(_)
            | Exchange::Closing(_)
            | Exchange::Closed => false,
        }
    }

    /// Whether there is work left after the client has ended its direction, which means elsewhere that it has gone.
    pub fn outlives_client(&self) -> bool {
        match self {
            Exchange::Tunnel(_) => true,
            Exchange::Relaying(state) => state.is_over(),
            Exchange::Reading(_)
            | Exchange::Choosing(_)
            | Exchange::Trying(_)
            | Exchange::Interim(_)
            | Exchange::Collecting(_)
            | Exchange::Replying(_)
            | Exchange::Discarding(_)
            | Exchange::Closing(_)
            | Exchange::Closed => false,
        }
    }

    /// Whether bytes pass both ways, each direction with an end of its own.
    pub fn is_tunnel(&self) -> bool {
        match self {
            Exchange::Tunnel(_) => true,
            Exchange::Reading(_)
            | Exchange::Choosing(_)
            | Exchange::Trying(_)
            | Exchange::Interim(_)
            | Exchange::Relaying(_)
            | Exchange::Collecting(_)
            | Exchange::Replying(_)
            | Exchange::Discarding(_)
            | Exchange::Closing(_)
            | Exchange::Closed => false,
        }
    }

    /// Whether an answer is under way that the client would take for complete if its connection were now closed in
    /// order. `has_output`: some of what was written has not been sent.
    pub fn ends_with_connection(&self, has_output: bool) -> bool {
        match self {
            // The last answer may be delimited by the end of the connection, as a tunnel is.
            Exchange::Closing(_) | Exchange::Closed | Exchange::Tunnel(_) => has_output,
            Exchange::Relaying(state) => state.ends_with_connection(),
            Exchange::Replying(state) => state.ends_with_connection(),
            Exchange::Reading(_)
            | Exchange::Choosing(_)
            | Exchange::Trying(_)
            | Exchange::Interim(_)
            | Exchange::Collecting(_)
            | Exchange::Discarding(_) => false,
        }
    }

    /// Ends whatever is under way: settles the permit, gives memory back, writes the request's line into the figures.
    pub fn abort(self, reason: &Reason, core: &mut Core, now: Now) {
        match self {
            Exchange::Choosing(state) => state.abort(reason, core, now),
            Exchange::Trying(state) => state.abort(reason, core, now),
            Exchange::Interim(state) => state.abort(reason, core, now),
            Exchange::Relaying(state) => state.abort(reason, core, now),
            Exchange::Tunnel(state) => state.abort(core, now),
            Exchange::Collecting(state) => state.abort(reason, core, now),
            Exchange::Replying(state) => state.abort(reason, core, now),
            Exchange::Reading(_)
            | Exchange::Discarding(_)
            | Exchange::Closing(_)
            | Exchange::Closed => {}
        }
    }
}

/// The state after the whole answer to `request` has been handed over; `decoder` tells how far its body has been read.
/// During a stop a connection that was to be kept alive ends like any idle one, once the answer has left.
fn after_answer(request: &Request, decoder: Decoder, now: Now) -> Exchange {
    match (request.role, request.afterwards) {
        (Role::Probe(_), _) => Exchange::Closed,
        (_, Afterwards::Close) => Exchange::Closing(Closing::new(&decoder, now)),
        (_, Afterwards::KeepAlive) if decoder.is_done() => Exchange::Reading(Reading::idle(now)),
        (_, Afterwards::KeepAlive) => Exchange::Discarding(Discarding::new(decoder, now)),
    }
}
