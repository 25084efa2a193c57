//! Picks a key for the next try. It takes no time.

use crate::base::now::Now;
use crate::policy::keyring::{KeyId, NoKey, Permit};

use super::core::Core;
use super::reason::Reason;
use super::replying::Replying;
use super::request::Request;
use super::trying::Trying;
use super::upload::Upload;
use super::{Cx, End, Exchange, Step};

pub struct Choosing {
    request: Box<Request>,
    upload: Upload,
    /// Keys that have failed this request.
    tried: Vec<KeyId>,
}

impl Choosing {
    /// The first choice for a request.
    pub fn new(request: Box<Request>, upload: Upload) -> Choosing {
        Choosing {
            request,
            upload,
            tried: Vec::new(),
        }
    }

    /// The next choice, after the keys of `tried`.
    pub fn again(request: Box<Request>, upload: Upload, tried: Vec<KeyId>) -> Choosing {
        Choosing {
            request,
            upload,
            tried,
        }
    }

    pub fn step(mut self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let platform = self.request.route().id;
        match cx.core.keyring.pick(platform, &self.tried, cx.now) {
            Ok(permit) => {
                self.request.tries += 1;
                self.dial(permit, cx.now)
            }
            Err(no_key) => {
                let reason = refusal(no_key, &self.request);
                let decoder = self
                    .upload
                    .discard(&mut cx.core.blocks, &mut cx.core.retry_memory);
                let replying = Replying::refuse(self.request, reason, decoder, cx);
                (Exchange::Replying(replying), Step::Again)
            }
        }
    }

    fn dial(self, permit: Permit, now: Now) -> (Exchange, Step) {
        let endpoint = std::rc::Rc::clone(&self.request.route().endpoint);
        let trying = Trying::new(self.request, self.upload, self.tried, permit, now);
        (Exchange::Trying(trying), Step::Dial(endpoint))
    }

    pub fn abort(self, reason: &Reason, core: &mut Core, now: Now) {
        self.upload
            .discard(&mut core.blocks, &mut core.retry_memory);
        core.finish(self.request, End::failed(reason), now);
    }
}

fn refusal(no_key: NoKey, request: &Request) -> Reason {
    match no_key {
        NoKey::NoKeys => Reason::NoKeys {
            name: request.route().platform.name.clone(),
        },
        NoKey::RateLimited { retry_after } => Reason::KeysRateLimited { retry_after },
        NoKey::NoneHealthy { retry_after } => Reason::NoHealthyKeys { retry_after },
    }
}
