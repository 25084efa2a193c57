//! What a platform's answer means for the key and for the request. It sees a status and fields, not a message.

use std::time::{Duration, UNIX_EPOCH};

use super::keyring::Outcome;
use crate::base::now::Now;

/// How much of a 400's body is looked at.
pub const INVALID_KEY_BODY_BYTES_MAX: usize = 8 * 1024;

/// Plain numbers above this are points in time since 1970, in seconds; above the next one, in milliseconds.
const EPOCH_SECONDS_MIN: f64 = 1e9;
const EPOCH_MILLISECONDS_MIN: f64 = 1e12;

/// What an answer with this status and these fields means for its key; none where the beginning of its body decides.
pub fn judge<'b>(
    status: u16,
    fields: impl Iterator<Item = (&'b str, &'b [u8])>,
    now: Now,
) -> Option<Outcome> {
    Some(match status {
        400 => return None,
        401 => Outcome::Rejected {
            reason: "401: the platform does not accept this key".to_string(),
        },
        402 => Outcome::Rejected {
            reason: "402: the platform asks for payment".to_string(),
        },
        403 => Outcome::Forbidden,
        429 => Outcome::RateLimited {
            wait: stated_wait(fields, now),
        },
        500 | 502 | 503 | 504 | 529 => Outcome::ServerError { status },
        _ => Outcome::Answered,
    })
}

/// Whether the beginning of a 400's body says that the key is invalid, as Google's APIs do: in a JSON string of its own.
/// A sentence that quotes the request, such as one about an unknown model, does not count.
pub fn names_invalid_key(body: &[u8]) -> bool {
    const CODE: &[u8] = b"\"API_KEY_INVALID\"";
    body.windows(CODE.len()).any(|place| place == CODE)
}

/// How long to wait: as `retry-after-ms` says, else `Retry-After`, else the latest `x-ratelimit-reset*`.
fn stated_wait<'b>(
    fields: impl Iterator<Item = (&'b str, &'b [u8])>,
    now: Now,
) -> Option<Duration> {
    const RESET: &str = "x-ratelimit-reset";
    let (mut first, mut second, mut latest) = (None, None, None);
    for (name, value) in fields {
        let Ok(text) = std::str::from_utf8(value).map(str::trim) else {
            continue;
        };
        if name.eq_ignore_ascii_case("retry-after-ms") {
            first = first.or_else(|| from_seconds(text.parse::<f64>().ok()? / 1000.0));
        } else if name.eq_ignore_ascii_case("retry-after") {
            second = second.or_else(|| retry_after(text, now));
        } else if (name.get(..RESET.len())).is_some_and(|start| start.eq_ignore_ascii_case(RESET)) {
            latest = latest.max(reset(text, now));
        }
    }
    first.or(second).or(latest)
}

/// Seconds, or a date in one of the three HTTP formats (RFC 9110 section 10.2.3).
fn retry_after(text: &str, now: Now) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return from_seconds(seconds);
    }
    let time = httpdate::parse_http_date(text).ok()?;
    let unix = time.duration_since(UNIX_EPOCH).ok()?;
    Some(unix.saturating_sub(Duration::from_millis(now.unix_ms)))
}

/// `6m0s`, `2500ms`, plain seconds, a point in time since 1970, or RFC 3339.
fn reset(text: &str, now: Now) -> Option<Duration> {
    let now_seconds = now.unix_ms as f64 / 1000.0;
    if let Ok(number) = text.parse::<f64>() {
        return match number {
            number if number >= EPOCH_MILLISECONDS_MIN => {
                from_seconds((number / 1000.0 - now_seconds).max(0.0))
            }
            number if number >= EPOCH_SECONDS_MIN => from_seconds((number - now_seconds).max(0.0)),
            number => from_seconds(number),
        };
    }
    if let Some(unix_seconds) = rfc3339(text) {
        return from_seconds((unix_seconds - now_seconds).max(0.0));
    }
    go_duration(text)
}

/// A point in time as RFC 3339 section 5.6 writes it, in seconds since 1970. Without an offset it is UTC.
fn rfc3339(text: &str) -> Option<f64> {
    let upper = text.to_ascii_uppercase();
    let time_of_day = upper.find(['T', ' '])? + 1;
    let offset_at = upper[time_of_day..].find(['+', '-']);
    let (local, offset) = upper.split_at(offset_at.map_or(upper.len(), |at| time_of_day + at));
    let local = humantime::parse_rfc3339_weak(local).ok()?;
    let unix = local.duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    Some(unix - offset_seconds(offset)?)
}

/// `+02:00` or nothing.
fn offset_seconds(offset: &str) -> Option<f64> {
    if offset.is_empty() {
        return Some(0.0);
    }
    let (sign, clock) = offset.split_at(1);
    let (hours, minutes) = clock.split_once(':')?;
    let number = |digits: &str, max: u32| {
        let is_two_digits = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: u32 = is_two_digits.then(|| digits.parse().ok()).flatten()?;
        (number <= max).then_some(number)
    };
    let seconds = f64::from(number(hours, 23)? * 3600 + number(minutes, 59)? * 60);
    Some(if sign == "-" { -seconds } else { seconds })
}

/// A duration as Go prints it: numbers with units `h`, `m`, `s`, `ms`, `us`, `ns`; and `d`, which others write.
fn go_duration(mut text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    if text.is_empty() {
        return None;
    }
    while !text.is_empty() {
        let number_end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = text[..number_end].parse().ok()?;
        let rest = &text[number_end..];
        let unit_end = rest
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(rest.len());
        seconds += number
            * match &rest[..unit_end] {
                "d" => 86_400.0,
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        text = &rest[unit_end..];
    }
    from_seconds(seconds)
}

/// Rejects negative and infinite times, and those so long that another unit or a point in time is likelier.
fn from_seconds(seconds: f64) -> Option<Duration> {
    const SECONDS_MAX: f64 = 1e9;
    (0.0..=SECONDS_MAX)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::now;

    fn wait(ms: &str, after: &str, resets: &[&str]) -> Option<Duration> {
        let resets = resets.iter().map(|reset| ("X-RateLimit-Reset-Any", *reset));
        let fields = resets.chain([("Retry-After", after), ("retry-after-ms", ms)]);
        let fields = fields.map(|(name, value)| (name, value.as_bytes()));
        match judge(429, fields, now()) {
            Some(Outcome::RateLimited { wait }) => wait,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_invalid_key_has_a_string_of_its_own() {
        for (body, want) in [
            (r#"{"details": [{"reason": "API_KEY_INVALID"}]}"#, true),
            (r#"{"message": "API_KEY_INVALID is not a model"}"#, false),
            (r#"{"message": "no model \"API_KEY_INVALID\""}"#, false),
        ] {
            assert_eq!(names_invalid_key(body.as_bytes()), want, "{body}");
        }
    }

    #[test]
    fn the_first_field_that_says_when() {
        let rows: &[(&str, &str, &[&str], Option<u64>)] = &[
            ("1500", "9", &["6m0s"], Some(1500)),
            ("x", "9", &[], Some(9000)),
            ("-5", "0.5", &[], Some(500)),
            ("", "Mon, 21 Sep 2026 14:13:25 GMT", &[], Some(5000)),
            ("", "Monday, 21-Sep-26 14:13:25 GMT", &[], Some(5000)),
            ("", "Mon Sep 21 14:13:25 2026", &[], Some(5000)),
            ("", "Sun, 06 Nov 1994 08:49:37 GMT", &[], Some(0)),
            ("", "soon", &["6m0s", "2500ms"], Some(360_000)),
            ("", "", &["1h2m3.5s"], Some(3_723_500)),
            ("", "", &["20", "1790000007"], Some(20_000)),
            (
                "",
                "",
                &["1", "2", "3", "4", "5", "6", "7", "8", "9s", "é"],
                Some(9000),
            ),
            ("", "", &["1790000007"], Some(7000)),
            ("", "", &["1790000007500"], Some(7500)),
            ("", "", &["2026-09-21T14:13:30Z"], Some(10_000)),
            ("", "", &["2026-09-21t14:13:30.5z"], Some(10_500)),
            ("", "", &["2026-09-21T16:13:30+02:00"], Some(10_000)),
            ("", "", &["2026-09-21T16:13:30.5+02:00"], Some(10_500)),
            ("", "", &["2026-09-21 09:43:30-04:30"], Some(10_000)),
            ("", "", &["2026-09-21T14:13:30-00:00"], Some(10_000)),
            ("", "", &["2026-09-21T14:13:30+2:00"], None),
            ("", "", &["2026-09-21T14:13:30+24:00"], None),
            ("", "", &["2026-09-21T14:13:30+", "T", "2026-09-21Té"], None),
            (
                "",
                "",
                &["6x", "", "NaN", "inf", "-1", "1e300", "h", "1.2.3s"],
                None,
            ),
            ("", "", &[], None),
        ];
        for (ms, after, resets, want) in rows {
            assert_eq!(
                wait(ms, after, resets),
                want.map(Duration::from_millis),
                "{ms:?} {after:?} {resets:?}"
            );
        }
    }

    #[test]
    fn statuses() {
        let fields = || std::iter::from_fn(|| unreachable!("a 429 alone says when"));
        let plain = |status| judge(status, fields(), now());
        for status in [200, 204, 302, 404, 409, 422, 501, 505] {
            assert_eq!(plain(status), Some(Outcome::Answered), "{status}");
        }
        for status in [500, 502, 503, 504, 529] {
            assert_eq!(plain(status), Some(Outcome::ServerError { status }));
        }
        assert_eq!(plain(400), None);
        assert_eq!(plain(403), Some(Outcome::Forbidden));
        for (status, reason) in [
            (401, "401: the platform does not accept this key"),
            (402, "402: the platform asks for payment"),
        ] {
            let reason = reason.to_string();
            assert_eq!(plain(status), Some(Outcome::Rejected { reason }));
        }
    }
}
