//! Awaits the whole body of a request that the built-in demo platform answers.

use std::time::Instant;

use crate::base::now::Now;
use crate::http::body::Decoder;
use crate::service::demo::{self, DemoRequest};
use crate::service::reply::Reply;

use super::core::Core;
use super::end::End;
use super::reason::Reason;
use super::replying::Replying;
use super::request::{Afterwards, Request};
use super::transfer::Stopped;
use super::upload::{Limits, Upload};
use super::{Cx, Exchange, Step};

/// What the demo platform accepts; it echoes only a little of it.
pub const LIMITS: Limits = Limits {
    kept_bytes_max: 1024 * 1024,
    content_bytes_max: 1024 * 1024,
    bound: "the built-in demo platform's bound, or than retry_memory_bytes has room for",
};

pub struct Collecting {
    request: Box<Request>,
    authorization: Option<Box<[u8]>>,
    upload: Box<Upload>,
}

impl Collecting {
    pub fn new(
        request: Box<Request>,
        authorization: Option<Box<[u8]>>,
        upload: Box<Upload>,
    ) -> Collecting {
        Collecting {
            request,
            authorization,
            upload,
        }
    }

    pub fn step(mut self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let core = &mut *cx.core;
        let (blocks, memory) = (&mut core.blocks, &core.retry_memory);
        match self
            .upload
            .pump(cx.client.input, None, &mut self.request, blocks, memory)
        {
            Err(reason) => self.refuse(reason, cx),
            Ok(_) if self.upload.is_received() => self.answer(cx),
            Ok(Stopped::Full) => self.refuse(LIMITS.exceeded(), cx),
            Ok(_) if self.deadline(cx.client.active_at) <= cx.now.instant => {
                (Exchange::Collecting(self), Step::Close(Reason::Idle))
            }
            Ok(stopped) => (
                Exchange::Collecting(self),
                stopped.unless_paused(Step::Wait),
            ),
        }
    }

    pub fn wants_client(&self) -> bool {
        !self.upload.is_received()
    }

    pub fn deadline(&self, client_at: Instant) -> Instant {
        // What is here of the request may have arrived long before, behind another request.
        client_at.max(self.request.started.instant) + self.request.site.settings.idle_timeout
    }

    fn answer(self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let reply: Reply = demo::answer(&DemoRequest {
            method: self.request.method.as_str(),
            path: self.request.path.as_str(),
            authorization: self.authorization.as_deref(),
            body: &self.upload.content(),
            now: cx.now,
            serial: cx.core.ids.next_u64(),
        });
        let decoder = cx.core.discard(self.upload);
        let replying = Replying::new(self.request, reply, decoder, cx.now);
        (Exchange::Replying(replying), Step::Again)
    }

    fn refuse(mut self, reason: Reason, cx: &mut Cx<'_>) -> (Exchange, Step) {
        cx.core.discard(self.upload);
        self.request.afterwards = Afterwards::Close;
        let replying = Replying::refuse(self.request, reason, Decoder::Done, cx);
        (Exchange::Replying(replying), Step::Again)
    }

    pub fn abort(self, reason: &Reason, core: &mut Core, now: Now) {
        core.discard(self.upload);
        core.finish(self.request, End::failed(reason), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Upstream;
    use crate::exchange::request::Role;
    use crate::exchange::testing::{PLATFORM, buffer, core, ends, now, step_between};
    use crate::http::framing::Framing;
    use std::time::Duration;

    #[test]
    fn a_body_is_awaited_until_its_client_has_been_silent_for_long() {
        let (mut core, begun) = (core("{}", PLATFORM), now());
        let idle_timeout = core.site.settings.idle_timeout;
        // (the time since bytes last moved, whether the wait is over)
        for (silence, is_over) in [(Duration::ZERO, false), (idle_timeout, true)] {
            let request = core.new_request(Role::Demo, begun);
            let (framing, memory) = (Framing::Length(2), &core.retry_memory);
            let upload = Upload::collecting(framing, LIMITS, &mut core.blocks, memory);
            let exchange = Exchange::Collecting(Collecting::new(request, None, Box::new(upload)));
            let [mut input, mut output] = [b"{".as_slice(), b""].map(buffer);
            let client = ends(&mut input, &mut output, begun);
            let now = begun.after(silence);
            let (exchange, step) = step_between(exchange, client, Upstream::None, &mut core, now);
            exchange.abort(&Reason::Idle, &mut core, now);
            match is_over {
                true => assert!(matches!(step, Step::Close(Reason::Idle))),
                false => assert!(matches!(step, Step::Wait)),
            }
        }
    }
}
