//! The journal's records as bytes: how each is written, recognised, and found again after a damaged one. It knows no
//! file.
//!
//! A record is the mark `A1 9E`, a kind (one byte), the payload's length (two bytes), the payload, and the CRC-32 of
//! kind, length and payload. Numbers are little-endian. Each payload begins with its writer's number. A new kind needs
//! another header: to an older version that shares the file it would be damage.

use crate::policy::access::Spent;
use crate::policy::digest::Digest;
use crate::policy::keyring::{Cause, Standing};

/// Begins each record. Neither byte is ASCII, so no text in a record looks like a mark.
const MARK: [u8; 2] = [0xA1, 0x9E];
const HEAD_BYTES: usize = MARK.len() + 3;
const CRC_BYTES: usize = 4;
/// Longer than the payload of any kind: a greater length is damage.
const PAYLOAD_BYTES_MAX: usize = 256;
/// No record is longer.
pub const RECORD_BYTES_MAX: usize = HEAD_BYTES + PAYLOAD_BYTES_MAX + CRC_BYTES;
/// How much is kept of the reason why a key is unhealthy.
const REASON_BYTES_MAX: usize = 200;

/// The size of a record of [`Record::Used`].
pub const USED_BYTES: usize = HEAD_BYTES + 4 + 56 + CRC_BYTES;

/// The writer of records that no process takes for its own.
pub const NOBODY: u32 = 0;

/// What the journal remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A client key used its limits: with one request, or with many that were summed up.
    Used(Spent),
    /// Requests that an earlier record counted, and that did not come.
    Unused(Spent),
    /// The state of a platform's key changed.
    Key {
        /// Identifies platform and key: the keyring's mark.
        key: Digest,
        /// When.
        unix_ms: u64,
        standing: Standing,
    },
}

/// The kinds as they are written.
#[derive(Clone, Copy)]
enum Kind {
    Used = 1,
    Usable = 2,
    Cooling = 3,
    Unhealthy = 4,
    Unused = 5,
}

/// Iterates over the records in `bytes`. At the end, `at` is where the last whole record ended: what follows is torn,
/// or not complete yet.
pub struct Scan<'b> {
    bytes: &'b [u8],
    pub at: usize,
    pub damage: Damage,
}

/// What could not be read between records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Stretches without a whole record.
    pub stretches: usize,
    pub bytes: usize,
}

impl std::ops::AddAssign for Damage {
    fn add_assign(&mut self, more: Damage) {
        self.stretches += more.stretches;
        self.bytes += more.bytes;
    }
}

impl Record {
    /// Appends the record's bytes to `output`.
    pub fn encode(&self, writer: u32, output: &mut Vec<u8>) {
        let start = output.len();
        output.extend_from_slice(&MARK);
        output.extend_from_slice(&[self.kind() as u8, 0, 0]);
        output.extend_from_slice(&writer.to_le_bytes());
        match self {
            Record::Used(spent) | Record::Unused(spent) => encode_spent(spent, output),
            Record::Key {
                key,
                unix_ms,
                standing,
            } => {
                output.extend_from_slice(key.bytes());
                output.extend_from_slice(&unix_ms.to_le_bytes());
                encode_standing(standing, output);
            }
        }
        let length = (output.len() - start - HEAD_BYTES) as u16;
        output[start + 3..start + HEAD_BYTES].copy_from_slice(&length.to_le_bytes());
        let crc = crc32(&output[start + MARK.len()..]);
        output.extend_from_slice(&crc.to_le_bytes());
    }

    /// The client key that it counts for, if it does.
    pub fn client(&self) -> Option<&Digest> {
        match self {
            Record::Used(spent) | Record::Unused(spent) => Some(&spent.client),
            Record::Key { .. } => None,
        }
    }

    /// The platform's key whose state it tells, if it does.
    pub fn platform_key(&self) -> Option<&Digest> {
        match self {
            Record::Key { key, .. } => Some(key),
            Record::Used(_) | Record::Unused(_) => None,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Record::Used(_) => Kind::Used,
            Record::Unused(_) => Kind::Unused,
            Record::Key { standing, .. } => match standing {
                Standing::Usable => Kind::Usable,
                Standing::Cooling { .. } => Kind::Cooling,
                Standing::Unhealthy { .. } => Kind::Unhealthy,
            },
        }
    }

    /// The writer and the record of a payload; none if its kind is unknown.
    fn decode(kind: u8, mut payload: &[u8]) -> Option<(u32, Record)> {
        let from = &mut payload;
        let writer = u32::from_le_bytes(take(from)?);
        let digest = Digest::from_bytes(take(from)?);
        let unix_ms = u64::from_le_bytes(take(from)?);
        let key = |standing| Record::Key {
            key: digest,
            unix_ms,
            standing,
        };
        let record = if kind == Kind::Used as u8 {
            Record::Used(decode_spent(digest, unix_ms, from)?)
        } else if kind == Kind::Unused as u8 {
            Record::Unused(decode_spent(digest, unix_ms, from)?)
        } else if kind == Kind::Usable as u8 {
            key(Standing::Usable)
        } else if kind == Kind::Cooling as u8 {
            key(Standing::Cooling {
                until_unix_ms: u64::from_le_bytes(take(from)?),
                cause: match take(from)? {
                    [0] => Cause::RateLimited,
                    [1] => Cause::Failing,
                    [_] => return None,
                },
            })
        } else if kind == Kind::Unhealthy as u8 {
            let reason = std::str::from_utf8(std::mem::take(from)).ok()?;
            // No other reason is ever written, and the next compaction would change it.
            if !reason.is_ascii() || reason.len() > REASON_BYTES_MAX {
                return None;
            }
            let reason = reason.to_string();
            key(Standing::Unhealthy { reason })
        } else {
            return None;
        };
        payload.is_empty().then_some((writer, record))
    }
}

fn encode_spent(spent: &Spent, output: &mut Vec<u8>) {
    output.extend_from_slice(spent.client.bytes());
    output.extend_from_slice(&spent.unix_ms.to_le_bytes());
    for number in [spent.hour, spent.hour_used, spent.day, spent.day_used] {
        output.extend_from_slice(&number.to_le_bytes());
    }
}

fn decode_spent(client: Digest, unix_ms: u64, from: &mut &[u8]) -> Option<Spent> {
    let mut number = || Some(u32::from_le_bytes(take(from)?));
    Some(Spent {
        client,
        unix_ms,
        hour: number()?,
        hour_used: number()?,
        day: number()?,
        day_used: number()?,
    })
}

fn encode_standing(standing: &Standing, output: &mut Vec<u8>) {
    match standing {
        Standing::Usable => {}
        Standing::Cooling {
            until_unix_ms,
            cause,
        } => {
            output.extend_from_slice(&until_unix_ms.to_le_bytes());
            output.push(match cause {
                Cause::RateLimited => 0,
                Cause::Failing => 1,
            });
        }
        Standing::Unhealthy { reason } => {
            let ascii = |c: char| if c.is_ascii() { c as u8 } else { b'?' };
            output.extend(reason.chars().take(REASON_BYTES_MAX).map(ascii));
        }
    }
}

fn take<const LENGTH: usize>(from: &mut &[u8]) -> Option<[u8; LENGTH]> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*taken)
}

/// The length of the whole record that stands at the start of `bytes`.
fn whole_record(bytes: &[u8]) -> Option<usize> {
    let head = bytes.get(..HEAD_BYTES)?;
    let payload_length = usize::from(u16::from_le_bytes([head[3], head[4]]));
    if head[..MARK.len()] != MARK || payload_length > PAYLOAD_BYTES_MAX {
        return None;
    }
    let end = HEAD_BYTES + payload_length;
    let crc = bytes.get(end..end + CRC_BYTES)?;
    (crc == crc32(&bytes[MARK.len()..end]).to_le_bytes()).then_some(end + CRC_BYTES)
}

impl<'b> Scan<'b> {
    pub fn new(bytes: &'b [u8]) -> Scan<'b> {
        Scan {
            bytes,
            at: 0,
            damage: Damage::default(),
        }
    }

    /// Where the next whole record after the unreadable one at `at` begins.
    fn next_whole(&self) -> Option<usize> {
        let from = self.at + 1;
        let rest = self.bytes.get(from..)?;
        let marks = rest.windows(MARK.len()).enumerate();
        marks
            .filter(|(_, window)| *window == MARK)
            .map(|(offset, _)| from + offset)
            .find(|place| whole_record(&self.bytes[*place..]).is_some())
    }

    fn skip_to(&mut self, place: usize) {
        self.damage.stretches += 1;
        self.damage.bytes += place - self.at;
        self.at = place;
    }
}

impl Iterator for Scan<'_> {
    /// The writer and what it wrote.
    type Item = (u32, Record);

    fn next(&mut self) -> Option<(u32, Record)> {
        loop {
            let rest = &self.bytes[self.at..];
            match whole_record(rest) {
                Some(length) => {
                    match Record::decode(rest[2], &rest[HEAD_BYTES..length - CRC_BYTES]) {
                        Some(found) => {
                            self.at += length;
                            return Some(found);
                        }
                        None => self.skip_to(self.at + length),
                    }
                }
                None => {
                    // An incomplete record is shorter than the longest: anything before where it may start is damage.
                    let torn_at = self.bytes.len().saturating_sub(RECORD_BYTES_MAX - 1);
                    let place = self.next_whole().unwrap_or(torn_at);
                    if place <= self.at {
                        return None;
                    }
                    self.skip_to(place);
                }
            }
        }
    }
}

/// The CRC-32 that zlib and Ethernet use.
fn crc32(bytes: &[u8]) -> u32 {
    let mut check = flate2::Crc::new();
    check.update(bytes);
    check.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_well_known_one() {
        for (text, want) in [("", 0), ("123456789", 0xCBF4_3926)] {
            assert_eq!(crc32(text.as_bytes()), want);
        }
    }

    #[test]
    fn records_come_back_as_they_were() {
        let digest = Digest::of(b"client");
        let key = |standing| Record::Key {
            key: digest,
            unix_ms: 7,
            standing,
        };
        let until_unix_ms = u64::MAX;
        let unhealthy = |reason: &str| {
            key(Standing::Unhealthy {
                reason: reason.to_string(),
            })
        };
        let long = "x".repeat(1000);
        // (written, read)
        let rows = [
            (
                Record::Used(Spent {
                    client: digest,
                    unix_ms: 1,
                    hour: 2,
                    hour_used: 3,
                    day: 4,
                    day_used: u32::MAX,
                }),
                None,
            ),
            (
                Record::Unused(Spent {
                    client: digest,
                    unix_ms: 1,
                    hour: 2,
                    hour_used: 3,
                    day: 4,
                    day_used: 5,
                }),
                None,
            ),
            (key(Standing::Usable), None),
            (
                key(Standing::Cooling {
                    until_unix_ms,
                    cause: Cause::Failing,
                }),
                None,
            ),
            (unhealthy(""), None),
            (unhealthy("40ü"), Some(unhealthy("40?"))),
            (unhealthy(&long), Some(unhealthy(&long[..REASON_BYTES_MAX]))),
        ];
        for (written, read) in rows {
            let mut bytes = Vec::new();
            written.encode(9, &mut bytes);
            let mut scan = Scan::new(&bytes);
            assert_eq!(scan.next(), Some((9, read.unwrap_or(written))));
            assert_eq!((scan.next(), scan.at), (None, bytes.len()));
            assert_eq!(scan.damage, Damage::default());
        }
    }

    #[test]
    fn what_is_never_written_is_skipped_alone() {
        let key = |standing| Record::Key {
            key: Digest::of(b"key"),
            unix_ms: 0,
            standing,
        };
        let unhealthy = key(Standing::Unhealthy {
            reason: "4011".to_string(),
        });
        let usable = key(Standing::Usable);
        // What is overwritten: an unknown kind, and a reason that is not ASCII.
        let reason_place = HEAD_BYTES + 4 + 32 + 8;
        let rows: [(&Record, usize, &[u8]); 2] = [
            (&usable, MARK.len(), &[99]),
            (&unhealthy, reason_place, "\u{120}".as_bytes()),
        ];
        for (record, place, put) in rows {
            let mut bytes = Vec::new();
            record.encode(1, &mut bytes);
            let length = bytes.len();
            bytes[place..place + put.len()].copy_from_slice(put);
            let crc = crc32(&bytes[MARK.len()..length - CRC_BYTES]);
            bytes[length - CRC_BYTES..].copy_from_slice(&crc.to_le_bytes());
            usable.encode(2, &mut bytes);
            let mut scan = Scan::new(&bytes);
            assert_eq!(scan.next(), Some((2, usable.clone())));
            assert_eq!(scan.next(), None);
            let damage = Damage {
                stretches: 1,
                bytes: length,
            };
            assert_eq!(scan.damage, damage, "{record:?}");
        }
    }
}
