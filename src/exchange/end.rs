//! How a request ended, for the figures and the log.

use super::reason::Reason;
use super::request::{Request, Role};
use crate::figures::counts::Class;

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

/// Logs why a request ends without a whole answer of the platform; as a warning if its client is not to blame.
pub fn log_end(request: &Request, reason: &Reason) {
    let is_of_client = match class_of(reason) {
        Class::ServerError | Class::Network | Class::Timeout => false,
        Class::Success | Class::Redirect | Class::ClientError | Class::Canceled => true,
    };
    let level = match request.role {
        Role::Proxy if !is_of_client => log::Level::Warn,
        Role::Proxy | Role::Demo | Role::Probe(_) => log::Level::Debug,
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
