//! How a request ended, for the figures and the log.

use std::fmt::Display;

use super::core::Core;
use super::reason::Reason;
use super::request::{Request, Role};
use crate::figures::counts::Class;
use crate::policy::keyring::KeyId;

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub status: Option<u16>,
    pub code: Option<&'static str>,
    pub class: Class,
}

impl End {
    pub fn answered(status: u16) -> End {
        End {
            status: Some(status),
            code: None,
            class: Class::of_status(status),
        }
    }

    pub fn failed(reason: &Reason) -> End {
        End {
            status: reason.status(),
            code: Some(reason.code()),
            class: class_of(reason),
        }
    }

    /// An answer cut off after its head was delivered: the client has received this status, whatever cut the body off.
    pub fn cut_off(status: u16, reason: &Reason) -> End {
        End {
            status: Some(status),
            ..End::failed(reason)
        }
    }
}

/// How a request that ended for this reason is counted.
fn class_of(reason: &Reason) -> Class {
    match reason {
        Reason::UpstreamTimeout { .. } | Reason::Idle => Class::Timeout,
        Reason::Upstream { .. } => Class::Network,
        other => other.status().map_or(Class::Canceled, Class::of_status),
    }
}

/// Logs why a request ends without a whole answer of the platform: as a warning unless it was refused before a try, its
/// client is to blame, or it is the proxy's own: a probe, or a request to the demo platform.
pub fn log_end(request: &Request, reason: &Reason, core: &Core) {
    let level = match (request.role, reason) {
        (
            Role::Proxy,
            Reason::Upstream { .. }
            | Reason::UpstreamTimeout { .. }
            | Reason::Idle
            | Reason::Stopping
            | Reason::Bug,
        ) => log::Level::Warn,
        (Role::Proxy | Role::Demo, _) => log::Level::Debug,
        (Role::Probe(key), _) => {
            return log::debug!(
                "{} {}: the probe of key {} ({}) failed: {}",
                request.id,
                request.route().platform.name,
                core.keyring.label(key).as_str(),
                core.keyring.preview(key),
                reason.message()
            );
        }
    };
    log::log!(
        level,
        "{} {} {}: {}",
        request.id,
        request.method,
        request.path,
        reason.message()
    );
}

/// Logs why a try failed that had an answer or has a successor; whether the key is to blame, only `why` tells. A probe's
/// failure is logged with the state of its key.
pub fn log_failure(request: &Request, key: KeyId, next: &str, why: &dyn Display, core: &Core) {
    if let Role::Proxy = request.role {
        log::info!(
            "{} {}: a try with key {} ({}) failed, {next}: {why}",
            request.id,
            request.route().platform.name,
            core.keyring.label(key).as_str(),
            core.keyring.preview(key),
        );
    }
}
