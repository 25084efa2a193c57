//! Reads the one fact of an X.509 certificate that no library here gives: when it expires (RFC 5280 section 4.1).

/// DER tags (X.690).
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xA0;

/// The end of a certificate's validity in Unix seconds; `None` if `der` is not a certificate.
pub fn not_after(der: &[u8]) -> Option<u64> {
    let (tag, certificate, _) = value(der)?;
    let (inner, to_be_signed, _) = value(certificate)?;
    if (tag, inner) != (SEQUENCE, SEQUENCE) {
        return None;
    }
    let rest = match value(to_be_signed)? {
        (VERSION, _, rest) => rest,
        _ => to_be_signed,
    };
    // Serial number, signature algorithm, issuer.
    let (tag, _, rest) = value(rest)?;
    let (_, _, rest) = (tag == INTEGER).then(|| value(rest))??;
    let (_, _, rest) = value(rest)?;
    let (_, validity, _) = value(rest)?;
    let (_, _, rest) = value(validity)?;
    let (tag, time, _) = value(rest)?;
    unix_seconds(tag, std::str::from_utf8(time).ok()?)
}

/// The first value: its tag, its content, and what comes after it.
fn value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            let length = digits
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn unix_seconds(tag: u8, time: &str) -> Option<u64> {
    let text = match tag {
        // Two digits stand for 1950 to 2049.
        UTC_TIME if time.get(..2)? < "50" => format!("20{time}"),
        UTC_TIME => format!("19{time}"),
        GENERALIZED_TIME => time.to_string(),
        _ => return None,
    };
    let part = |range: std::ops::Range<usize>| {
        text.get(range)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let rfc3339 = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(8..10)?,
        part(10..12)?,
        part(12..14)?
    );
    let time = humantime::parse_rfc3339(&rfc3339).ok()?;
    Some(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let rows = [
            (UTC_TIME, "261124144506Z", Some(1_795_531_506)),
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "500101000000Z", None),
            (GENERALIZED_TIME, "21261031144506Z", Some(4_949_131_506)),
            (GENERALIZED_TIME, "2126x031144506Z", None),
            (GENERALIZED_TIME, "2126", None),
            (SEQUENCE, "21261031144506Z", None),
        ];
        for (tag, time, want) in rows {
            assert_eq!(unix_seconds(tag, time), want, "{time}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let certificates: [&[u8]; 6] = [
            b"",
            b"\x30",
            b"\x30\x80",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x05\x30\x03\x02\x01\x01",
            b"\x04\x02\x04\x00",
        ];
        for der in certificates {
            assert_eq!(not_after(der), None, "{der:x?}");
        }
    }
}
