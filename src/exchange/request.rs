//! The facts of one request, from its head to its line in the figures. It knows nothing of how it is served.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::base::ids::RequestId;
use crate::base::now::Now;
use crate::base::text::Model;
use crate::figures::recent::{Method, Path};
use crate::http::Version;
use crate::http::model::ModelScan;
use crate::http::response::Asked;
use crate::http::usage::{Format, UsageScan};
use crate::policy::access::{ClientId, Quota};
use crate::policy::keyring::KeyId;
use crate::site::{Route, Site};

use super::admission::Peer;

/// Whom a session serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A client of the proxy.
    Proxy,
    /// The proxy itself, as a client of the built-in demo platform.
    Demo,
    /// Nobody: this key is probed.
    Probe(KeyId),
}

/// What becomes of the client's connection after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    KeepAlive,
    Close,
}

/// What a browser's origin may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// No `Origin` was sent: CORS does not apply.
    NotAsked,
    /// A foreign origin, or CORS is off.
    Refused,
    /// Any origin.
    Any,
    /// This one.
    Only(Box<str>),
}

/// One request.
pub struct Request {
    pub site: Rc<Site>,
    pub role: Role,
    pub started: Now,
    pub id: RequestId,
    pub method: Method,
    pub path: Path,
    pub version: Version,
    pub asked: Asked,
    pub afterwards: Afterwards,
    /// Where it came from; none before that has been read from its head.
    pub peer: Option<Peer>,
    pub cors: Cors,
    pub route: Option<usize>,
    pub client: Option<ClientId>,
    pub quota: Option<Quota>,
    /// The protocols to which the client offers to switch.
    pub offered: Option<Box<str>>,
    /// The platform's key of the last try.
    pub key: Option<KeyId>,
    pub tries: u32,
    /// Interim answers received in that try.
    pub interims: u32,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub first_byte_at: Option<Instant>,
    /// The format of the request's body, for finding the model that it names.
    pub body_format: Format,
    pub model: ModelScan,
    pub usage: UsageScan,
}

/// How long a probe may take in all.
const PROBE_PATIENCE: Duration = Duration::from_secs(20);

impl Request {
    /// A request about which nothing is known yet, and which therefore ends its connection.
    pub fn new(site: Rc<Site>, role: Role, id: RequestId, started: Now) -> Request {
        Request {
            site,
            role,
            started,
            id,
            method: Method::default(),
            path: Path::default(),
            version: Version::Http11,
            asked: Asked::Other,
            afterwards: Afterwards::Close,
            peer: None,
            cors: Cors::NotAsked,
            route: None,
            client: None,
            quota: None,
            offered: None,
            key: None,
            tries: 0,
            interims: 0,
            bytes_in: 0,
            bytes_out: 0,
            first_byte_at: None,
            body_format: Format::Ignored,
            model: ModelScan::default(),
            usage: UsageScan::default(),
        }
    }

    /// When a probe ends at the latest, whatever the platform sends; none for other requests.
    pub fn probe_ends_at(&self) -> Option<Instant> {
        match self.role {
            Role::Probe(_) => Some(self.started.instant + PROBE_PATIENCE),
            Role::Proxy | Role::Demo => None,
        }
    }

    /// The platform that the request is for.
    pub fn route(&self) -> &Route {
        let place = self
            .route
            .expect("only a request for a platform is asked for its route");
        &self.site.routes[place]
    }

    /// A test for the fields that the platform's own replace, wherever in the request they stand.
    pub fn replaced_fields(&self) -> impl Fn(&str) -> bool + use<> {
        let (site, place) = (Rc::clone(&self.site), self.route);
        move |name| place.is_some_and(|place| site.routes[place].platform.sets_field(name))
    }

    /// The model that it asks for: named in its body, in the query where a tunnel is asked for, as OpenAI's Realtime API
    /// does, or in its path as Gemini's API does.
    pub fn model(&self) -> Option<Model> {
        let in_path = || {
            // With other methods the path names a stored thing: OpenAI's `DELETE /v1/models/ft:gpt-4o:…`.
            if self.method.as_str() != "POST" {
                return None;
            }
            let (_, rest) = self.path.as_str().split_once("/models/")?;
            rest.split_once(':').map(|(model, _)| Model::new(model))
        };
        self.model.model().or_else(in_path)
    }

    /// Records a piece of the request's body.
    pub fn on_request_content(&mut self, data: &[u8]) {
        self.bytes_in += data.len() as u64;
        if self.body_format == Format::Json {
            self.model.scan(data);
        }
    }
}
