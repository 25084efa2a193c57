//! Status and code of each error of the proxy's own, as README lists them.

use super::*;

fn name() -> String {
    "p".to_string()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The reason, its status and code, `Retry-After`, and whether the SDKs are told not to try again.
type Row = (Reason, u16, &'static str, Option<u64>, bool);

fn of_limits() -> Vec<Row> {
    let cooldown = |retry_after_seconds| {
        Reason::Refused(Refusal::Cooldown {
            retry_after_seconds,
        })
    };
    let hourly = |retry_after_seconds| {
        Reason::Refused(Refusal::HourlyLimit {
            limit: 1,
            retry_after_seconds,
        })
    };
    let daily = |retry_after_seconds| {
        Reason::Refused(Refusal::DailyLimit {
            limit: 1,
            retry_after_seconds,
        })
    };
    let limited = |retry_after| Reason::KeysRateLimited { retry_after };
    let unhealthy = |retry_after| Reason::NoHealthyKeys { retry_after };
    vec![
        (cooldown(60), 429, "cooldown", Some(60), false),
        (cooldown(61), 429, "cooldown", Some(61), true),
        (hourly(1), 429, "hourly_limit", Some(1), false),
        (hourly(3600), 429, "hourly_limit", Some(3600), true),
        (daily(60), 429, "daily_limit", Some(60), false),
        (daily(86_400), 429, "daily_limit", Some(86_400), true),
        (
            limited(Duration::ZERO),
            429,
            "keys_rate_limited",
            Some(1),
            false,
        ),
        (
            limited(Duration::from_millis(59_001)),
            429,
            "keys_rate_limited",
            Some(60),
            false,
        ),
        (
            limited(Duration::from_millis(60_001)),
            429,
            "keys_rate_limited",
            Some(61),
            true,
        ),
        (unhealthy(None), 503, "no_healthy_keys", None, false),
        (
            unhealthy(Some(seconds(3600))),
            503,
            "no_healthy_keys",
            Some(3600),
            false,
        ),
    ]
}

fn of_heads() -> Vec<Row> {
    vec![
        (
            Reason::Malformed(Malformed::Host),
            400,
            "bad_request",
            None,
            false,
        ),
        (
            Reason::Malformed(Malformed::TargetTooLong),
            414,
            "uri_too_long",
            None,
            false,
        ),
        (
            Reason::Malformed(Malformed::RequestLineTooLong),
            414,
            "uri_too_long",
            None,
            false,
        ),
        (
            Reason::Malformed(Malformed::HeadTooLong),
            431,
            "headers_too_large",
            None,
            false,
        ),
        (
            Reason::Malformed(Malformed::FieldsTooMany),
            431,
            "headers_too_large",
            None,
            false,
        ),
        (
            Reason::Malformed(Malformed::VersionNotSupported),
            505,
            "http_version_not_supported",
            None,
            false,
        ),
        (
            Reason::Malformed(Malformed::CodingBeforeChunked),
            501,
            "not_implemented",
            None,
            false,
        ),
        (
            Reason::Malformed(Malformed::Expectation),
            417,
            "expectation_failed",
            None,
            false,
        ),
    ]
}

fn of_clients() -> Vec<Row> {
    vec![
        (Reason::PathClimbs, 400, "bad_request", None, false),
        (Reason::RequestTimeout, 408, "request_timeout", None, false),
        (
            Reason::BodyTooLarge {
                bytes_max: 9,
                bound: "",
            },
            413,
            "body_too_large",
            None,
            false,
        ),
        (Reason::IpNotAllowed, 403, "ip_not_allowed", None, false),
        (
            Reason::UnknownPlatform {
                routes: "/p/*".to_string(),
            },
            404,
            "unknown_platform",
            None,
            false,
        ),
        (
            Reason::PlatformDisabled { name: name() },
            403,
            "platform_disabled",
            None,
            false,
        ),
        (Reason::NoKeys { name: name() }, 503, "no_keys", None, true),
        (Reason::MissingApiKey, 401, "missing_api_key", None, false),
        (Reason::InvalidApiKey, 401, "invalid_api_key", None, false),
        (Reason::NoRootKey, 401, "invalid_api_key", None, false),
        (Reason::LocalOnly, 401, "missing_api_key", None, false),
    ]
}

fn of_others() -> Vec<Row> {
    vec![
        (
            Reason::Refused(Refusal::SampleKey),
            403,
            "sample_key",
            None,
            false,
        ),
        (
            Reason::Refused(Refusal::KeyExpired),
            401,
            "key_expired",
            None,
            false,
        ),
        (
            Reason::Refused(Refusal::PlatformNotAllowed),
            403,
            "platform_not_allowed",
            None,
            false,
        ),
        (
            Reason::PageDisabled("enable_gui"),
            403,
            "disabled",
            None,
            false,
        ),
        (Reason::NotFound, 404, "not_found", None, false),
        (
            Reason::MethodNotAllowed("GET, HEAD"),
            405,
            "method_not_allowed",
            None,
            false,
        ),
        (
            Reason::Upstream {
                host: name(),
                what: name(),
            },
            502,
            "upstream_error",
            None,
            false,
        ),
        (
            Reason::UpstreamTimeout {
                host: name(),
                what: "no head",
            },
            504,
            "upstream_timeout",
            None,
            false,
        ),
        (Reason::Bug, 500, "internal_error", None, false),
    ]
}

#[test]
fn answers() {
    let rows = [of_limits(), of_heads(), of_clients(), of_others()]
        .into_iter()
        .flatten();
    for (reason, status, code, retry_after, forbids_retry) in rows {
        let found = (
            reason.status(),
            reason.code(),
            reason.retry_after_seconds(),
            reason.forbids_retry(),
        );
        assert_eq!(
            found,
            (Some(status), code, retry_after, forbids_retry),
            "{reason:?}"
        );
        let kind = match status {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            400..500 => "invalid_request_error",
            _ => "api_error",
        };
        assert_eq!(reason.kind(), kind, "{reason:?}");
        assert!(!reason.message().is_empty(), "{reason:?}");
    }
}

#[test]
fn what_nobody_is_told() {
    for (reason, status, code) in [
        (Reason::ClientGone, None, "canceled"),
        (Reason::Idle, None, "idle_timeout"),
        (Reason::Unread, None, "canceled"),
        (Reason::Stopping, None, "stopping"),
        (Reason::Unused, None, "unused"),
        (Reason::Finished, None, "finished"),
    ] {
        assert_eq!((reason.status(), reason.code()), (status, code));
        assert!(!reason.message().is_empty() && !reason.kind().is_empty());
        assert!(!reason.forbids_retry() && reason.retry_after_seconds().is_none());
    }
}

#[test]
fn messages_that_others_look_for() {
    let host = || "h.example".to_string();
    for (reason, want) in [
        (Reason::NoRootKey, "takes a root key"),
        (Reason::LocalOnly, "own machine only"),
        (
            Reason::UnknownPlatform {
                routes: "/p/v1/*".to_string(),
            },
            "/p/v1/*",
        ),
        (
            Reason::Malformed(Malformed::HostTwice),
            "more than one Host field",
        ),
        (
            Reason::BodyTooLarge {
                bytes_max: 104,
                bound: "the least",
            },
            "104 bytes, the least",
        ),
        (Reason::MethodNotAllowed("GET, HEAD"), "GET, HEAD"),
        (Reason::PageDisabled("enable_json"), "enable_json"),
        (
            Reason::KeysRateLimited {
                retry_after: seconds(30),
            },
            "30 s",
        ),
        (
            Reason::Upstream {
                host: host(),
                what: "connection refused".to_string(),
            },
            "h.example: connection refused",
        ),
        (
            Reason::UpstreamTimeout {
                host: host(),
                what: "no answer",
            },
            "h.example: no answer",
        ),
        (Reason::Refused(Refusal::SampleKey), "root_key"),
        (
            Reason::NoKeys { name: name() },
            "platform p has no usable key",
        ),
    ] {
        assert!(
            reason.message().contains(want),
            "{reason:?}: {}",
            reason.message()
        );
    }
    for reason in [Reason::InvalidApiKey, Reason::NoRootKey] {
        assert!(reason.message().starts_with("Incorrect API key provided"));
    }
}
