//! Why a request or a connection ends other than with a platform's answer. The answer, the log line and the counter all
//! come from here.

use std::borrow::Cow;
use std::time::Duration;

use crate::http::malformed::{Kind, Malformed};
use crate::policy::access::Refusal;

/// Every fault that the proxy itself reports.
#[derive(Debug)]
pub enum Reason {
    /// The bytes are not HTTP that may be served.
    Malformed(Malformed),
    /// A path that would leave the platform's `api_path`.
    PathClimbs,
    /// The client's head, or the rest of its body, did not arrive in time.
    RequestTimeout,
    /// The body is larger than this many bytes; `bound` says whose bound that is.
    BodyTooLarge {
        bytes_max: u64,
        bound: &'static str,
    },
    IpNotAllowed,
    /// No platform of that name; `routes` lists those that exist.
    UnknownPlatform {
        routes: String,
    },
    PlatformDisabled {
        name: String,
    },
    /// The platform has no usable key in the configuration.
    NoKeys {
        name: String,
    },
    MissingApiKey,
    InvalidApiKey,
    /// A private page was asked for with a key that is not a root key.
    NoRootKey,
    /// A private page was asked for from another machine, and no key can open it.
    LocalOnly,
    Refused(Refusal),
    /// A page that the configuration switches off, and the setting's name.
    PageDisabled(&'static str),
    NotFound,
    /// The methods that the path accepts.
    MethodNotAllowed(&'static str),
    /// Every usable key is rate-limited.
    KeysRateLimited {
        retry_after: Duration,
    },
    NoHealthyKeys {
        /// When one of them is probed again, if that is known.
        retry_after: Option<Duration>,
    },
    /// The platform could not be reached or did not behave as HTTP demands; its host, and what happened.
    Upstream {
        host: String,
        what: String,
    },
    UpstreamTimeout {
        host: String,
        what: &'static str,
    },
    /// A defect of the proxy's own.
    Bug,
    /// The client closed, half-closed or reset its connection.
    ClientGone,
    /// No byte moved for `idle_timeout_seconds`.
    Idle,
    /// The client took nothing of its answer for that long.
    Unread,
    /// The proxy stops, and the time for requests in flight is over.
    Stopping,
    /// An idle connection that is not needed any more.
    Unused,
    /// The connection's last answer has been sent.
    Finished,
}

impl Reason {
    /// The status of the answer; none where no client is left to be answered.
    pub fn status(&self) -> Option<u16> {
        self.row().0
    }

    /// The `code` of the error body and of `x-proxy-error`.
    pub fn code(&self) -> &'static str {
        self.row().1
    }

    /// The value of `Retry-After`, where a time is known.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.row().2
    }

    /// Status, code and seconds to wait of each.
    fn row(&self) -> (Option<u16>, &'static str, Option<u64>) {
        match self {
            Reason::Malformed(malformed) => match malformed.kind() {
                Kind::BadRequest => (Some(400), "bad_request", None),
                Kind::UriTooLong => (Some(414), "uri_too_long", None),
                Kind::HeadersTooLarge => (Some(431), "headers_too_large", None),
                Kind::VersionNotSupported => (Some(505), "http_version_not_supported", None),
                Kind::NotImplemented => (Some(501), "not_implemented", None),
                Kind::ExpectationFailed => (Some(417), "expectation_failed", None),
            },
            Reason::PathClimbs => (Some(400), "bad_request", None),
            Reason::RequestTimeout => (Some(408), "request_timeout", None),
            Reason::BodyTooLarge { .. } => (Some(413), "body_too_large", None),
            Reason::IpNotAllowed => (Some(403), "ip_not_allowed", None),
            Reason::UnknownPlatform { .. } => (Some(404), "unknown_platform", None),
            Reason::PlatformDisabled { .. } => (Some(403), "platform_disabled", None),
            Reason::NoKeys { .. } => (Some(503), "no_keys", None),
            Reason::MissingApiKey | Reason::LocalOnly => (Some(401), "missing_api_key", None),
            Reason::InvalidApiKey | Reason::NoRootKey => (Some(401), "invalid_api_key", None),
            Reason::Refused(refusal) => refusal_row(refusal),
            Reason::PageDisabled(_) => (Some(403), "disabled", None),
            Reason::NotFound => (Some(404), "not_found", None),
            Reason::MethodNotAllowed(_) => (Some(405), "method_not_allowed", None),
            Reason::KeysRateLimited { retry_after } => {
                let seconds = whole_seconds(*retry_after);
                (Some(429), "keys_rate_limited", Some(seconds))
            }
            Reason::NoHealthyKeys { retry_after } => {
                let seconds = retry_after.map(whole_seconds);
                (Some(503), "no_healthy_keys", seconds)
            }
            Reason::Upstream { .. } => (Some(502), "upstream_error", None),
            Reason::UpstreamTimeout { .. } => (Some(504), "upstream_timeout", None),
            Reason::Bug => (Some(500), "internal_error", None),
            Reason::ClientGone | Reason::Unread => (None, "canceled", None),
            Reason::Idle => (None, "idle_timeout", None),
            Reason::Stopping => (None, "stopping", None),
            Reason::Unused => (None, "unused", None),
            Reason::Finished => (None, "finished", None),
        }
    }

    /// Whether the OpenAI SDKs must be told not to try again at once.
    pub fn forbids_retry(&self) -> bool {
        match self.row() {
            (Some(429), _, Some(seconds)) => seconds > 60,
            _ => matches!(self, Reason::NoKeys { .. }),
        }
    }

    /// OpenAI's `type` of an error with this status.
    pub fn kind(&self) -> &'static str {
        match self.status() {
            Some(401) => "authentication_error",
            Some(403) => "permission_error",
            Some(429) => "rate_limit_error",
            Some(..500) => "invalid_request_error",
            Some(500..) | None => "api_error",
        }
    }

    /// What happened and what to do about it.
    pub fn message(&self) -> Cow<'static, str> {
        match self {
            Reason::Malformed(malformed) => malformed.message().into(),
            Reason::PathClimbs => {
                "The path's dot segments lead out of the platform's API path.".into()
            }
            Reason::RequestTimeout => "The request did not arrive in time.".into(),
            Reason::BodyTooLarge { bytes_max, bound } => {
                format!("The request's body is larger than {bytes_max} bytes, {bound}.").into()
            }
            Reason::IpNotAllowed => "Your address is not among the proxy's allowed_ips.".into(),
            Reason::UnknownPlatform { routes } => {
                format!("No platform of this name. This proxy serves: {routes}").into()
            }
            Reason::PlatformDisabled { name } => {
                format!("The platform {name} is switched off; set its `enabled` in platform.json.")
                    .into()
            }
            Reason::NoKeys { name } => format!(
                "The platform {name} has no usable key; give it one in platform.json or .env."
            )
            .into(),
            Reason::MissingApiKey => {
                "No API key was sent. Send a key of this proxy as `Authorization: Bearer KEY`."
                    .into()
            }
            Reason::InvalidApiKey => {
                "Incorrect API key provided. Use a key of this proxy, not one of the platform."
                    .into()
            }
            Reason::NoRootKey => {
                "Incorrect API key provided. This page takes a root key of key.json; with enable_key_validation off, none."
                    .into()
            }
            Reason::LocalOnly => {
                "This page is shown on the proxy's own machine only, at 127.0.0.1 or ::1: with enable_key_validation off in config.json no key opens it."
                    .into()
            }
            Reason::Refused(refusal) => refusal_message(refusal),
            Reason::PageDisabled(setting) => {
                format!("This page is switched off by {setting} in config.json.").into()
            }
            Reason::NotFound => {
                "There is nothing at this path. GET /routes lists what there is.".into()
            }
            Reason::MethodNotAllowed(allow) => {
                format!("The method is not allowed here; allowed: {allow}.").into()
            }
            Reason::KeysRateLimited { retry_after } => format!(
                "All keys of the platform are rate-limited; the first is free in {} s.",
                whole_seconds(*retry_after)
            )
            .into(),
            Reason::NoHealthyKeys { .. } => {
                "The platform accepts none of its keys at present; see /dashboard.".into()
            }
            Reason::Upstream { host, what } => format!("{host}: {what}").into(),
            Reason::UpstreamTimeout { host, what } => format!("{host}: {what}").into(),
            Reason::Bug => "The proxy failed at this request; its log says more.".into(),
            Reason::ClientGone => "the client has gone".into(),
            Reason::Idle => "no byte moved for too long".into(),
            Reason::Unread => "the client took nothing for too long".into(),
            Reason::Stopping => "the proxy stops".into(),
            Reason::Unused => "idle".into(),
            Reason::Finished => "finished".into(),
        }
    }
}

fn refusal_row(refusal: &Refusal) -> (Option<u16>, &'static str, Option<u64>) {
    match refusal {
        Refusal::SampleKey => (Some(403), "sample_key", None),
        Refusal::KeyExpired => (Some(401), "key_expired", None),
        Refusal::PlatformNotAllowed => (Some(403), "platform_not_allowed", None),
        Refusal::Cooldown {
            retry_after_seconds,
        } => (Some(429), "cooldown", Some(*retry_after_seconds)),
        Refusal::HourlyLimit {
            retry_after_seconds,
            ..
        } => (Some(429), "hourly_limit", Some(*retry_after_seconds)),
        Refusal::DailyLimit {
            retry_after_seconds,
            ..
        } => (Some(429), "daily_limit", Some(*retry_after_seconds)),
    }
}

fn refusal_message(refusal: &Refusal) -> Cow<'static, str> {
    match refusal {
        Refusal::SampleKey => {
            "The sample key root_key is accepted from the proxy's own machine only, at 127.0.0.1 or ::1; put keys of your own into key.json.".into()
        }
        Refusal::KeyExpired => "This API key has expired.".into(),
        Refusal::PlatformNotAllowed => "This API key may not use this platform.".into(),
        Refusal::Cooldown { retry_after_seconds } => {
            format!("This API key is cooling down; its next request passes in {retry_after_seconds} s.").into()
        }
        Refusal::HourlyLimit {
            limit,
            retry_after_seconds,
        } => format!("The hourly limit of {limit} requests is used up; the next one passes in {retry_after_seconds} s.").into(),
        Refusal::DailyLimit {
            limit,
            retry_after_seconds,
        } => format!("The daily limit of {limit} requests is used up; the next one passes in {retry_after_seconds} s.").into(),
    }
}

/// Rounded up, at least 1: a client that waits that long finds a key.
fn whole_seconds(duration: Duration) -> u64 {
    (duration.as_millis().div_ceil(1000) as u64).max(1)
}

#[cfg(test)]
mod tests;
