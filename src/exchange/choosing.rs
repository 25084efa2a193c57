//! Picks a key for the next try, once the request is counted on disk. It takes no more than the turn.

use std::rc::Rc;

use crate::base::now::Now;
use crate::policy::keyring::{KeyId, NoKey};

use super::core::Core;
use super::reason::Reason;
use super::replying::Replying;
use super::request::Request;
use super::trying::Trying;
use super::upload::Upload;
use super::{Cx, End, Exchange, Step};

pub struct Choosing {
    request: Box<Request>,
    upload: Box<Upload>,
    wish: Wish,
}

/// Which key is wanted.
enum Wish {
    /// Any but those that have failed this request.
    Any { tried: Vec<KeyId> },
    /// This one, to be probed.
    Only(KeyId),
}

impl Choosing {
    /// The first choice for a request.
    pub fn new(request: Box<Request>, upload: Box<Upload>) -> Choosing {
        Choosing {
            request,
            upload,
            wish: Wish::Any { tried: Vec::new() },
        }
    }

    /// The choice for a probe of `key`.
    pub fn probe(request: Box<Request>, upload: Box<Upload>, key: KeyId) -> Choosing {
        Choosing {
            request,
            upload,
            wish: Wish::Only(key),
        }
    }

    /// The next choice, after the keys of `tried`.
    pub fn again(request: Box<Request>, upload: Box<Upload>, tried: Vec<KeyId>) -> Choosing {
        Choosing {
            request,
            upload,
            wish: Wish::Any { tried },
        }
    }

    pub fn step(mut self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        let is_first = matches!(&self.wish, Wish::Any { tried } if tried.is_empty());
        if is_first && cx.core.ledger.holds_back() {
            // Counted in the file first, in one write for all requests of the turn. It goes on before the turn ends, or
            // some milliseconds later, if another process compacts the file just then. A request that is tried again has
            // been counted, and the key that is there for it may be gone when others have run.
            cx.core.await_ledger(cx.session);
            return (Exchange::Choosing(self), Step::Wait);
        }
        let route = self.request.route();
        let keyring = &mut cx.core.keyring;
        let (picked, tried) = match self.wish {
            Wish::Any { tried } => (keyring.pick(route.id, &route.keys, &tried, cx.now), tried),
            Wish::Only(key) => (Ok(keyring.permit_for_probe(key, cx.now)), Vec::new()),
        };
        match picked {
            Ok(permit) => {
                self.request.tries += 1;
                self.request.key = Some(permit.key());
                let endpoint = Rc::clone(&self.request.route().endpoint);
                let reuse = self.upload.connection_reuse();
                let trying = Trying::new(self.request, self.upload, tried, permit, cx.now);
                (Exchange::Trying(trying), Step::Dial { endpoint, reuse })
            }
            Err(no_key) => {
                let reason = refusal(no_key, &self.request);
                let decoder = cx.core.discard(self.upload);
                let replying = Replying::refuse(self.request, reason, decoder, cx);
                (Exchange::Replying(replying), Step::Again)
            }
        }
    }

    pub fn abort(self, reason: &Reason, core: &mut Core, now: Now) {
        core.discard(self.upload);
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
