//! Picks a key for the first try, once the request is counted in the journal: as a rule within the same turn.

use crate::base::now::Now;
use crate::policy::keyring::NoKey;

use super::core::Core;
use super::end::End;
use super::reason::Reason;
use super::replying::Replying;
use super::request::{Request, Role};
use super::trying::Trying;
use super::upload::Upload;
use super::{Cx, Exchange, Step};

pub struct Choosing {
    request: Box<Request>,
    upload: Box<Upload>,
}

impl Choosing {
    pub fn new(request: Box<Request>, upload: Box<Upload>) -> Choosing {
        Choosing { request, upload }
    }

    pub fn step(self, cx: &mut Cx<'_>) -> (Exchange, Step) {
        if cx.core.ledger.holds_back() {
            // The request is counted in the file first, in one write for all requests of the turn. It goes on before
            // the turn ends, or some milliseconds later if another process is compacting the file just then.
            cx.core.await_ledger(cx.session);
            return (Exchange::Choosing(self), Step::Wait);
        }
        let route = self.request.route();
        let keyring = &mut cx.core.keyring;
        let picked = match self.request.role {
            Role::Probe(key) => Ok(keyring.permit(key, cx.now)),
            Role::Proxy | Role::Demo => keyring.pick(route.id, &route.keys, &[], cx.now),
        };
        match picked {
            Ok(permit) => Trying::begin(self.request, self.upload, Vec::new(), permit, cx.now),
            Err(no_key) => {
                let reason = refusal(no_key, &self.request, cx.core, cx.now);
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

fn refusal(no_key: NoKey, request: &Request, core: &Core, now: Now) -> Reason {
    let route = request.route();
    match no_key {
        NoKey::NoKeys => Reason::NoKeys {
            name: route.platform.name.clone(),
        },
        NoKey::RateLimited { retry_after } => Reason::KeysRateLimited { retry_after },
        NoKey::NoneHealthy => {
            let probed_at = core.probes.first_of(&route.keys);
            Reason::NoHealthyKeys {
                retry_after: probed_at.map(|at| at.saturating_duration_since(now.instant)),
            }
        }
    }
}
