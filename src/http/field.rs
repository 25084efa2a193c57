//! Field lines and the grammar of their names and values (RFC 9110 section 5). It knows no particular fields.

use super::malformed::Malformed;
use super::name;
use super::search::until_line_feed;
use super::{FIELDS_MAX, Field};

const TOKEN: u8 = 1;
const TARGET: u8 = 2;
const VALUE: u8 = 4;
const HOST: u8 = 8;

/// More fields than this are read into separately allocated memory.
const FIELDS_FEW: usize = 32;

/// For each byte, the grammar rules in which it may occur.
static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let value = byte as u8;
        if value.is_ascii_alphanumeric() {
            table[byte] |= TOKEN | HOST;
        }
        if value.is_ascii_graphic() && value != b'#' {
            table[byte] |= TARGET;
        }
        if value == b'\t' || value == b' ' || value.is_ascii_graphic() || value >= 0x80 {
            table[byte] |= VALUE;
        }
        byte += 1;
    }
    set(&mut table, b"!#$%&'*+-.^_`|~", TOKEN);
    set(&mut table, b"-._~!$&'()*+;=", HOST);
    table
}

const fn set(table: &mut [u8; 256], bytes: &[u8], class: u8) {
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] |= class;
        at += 1;
    }
}

fn is_of(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// Whether `byte` may occur in a token (RFC 9110 section 5.6.2).
pub fn is_token_byte(byte: u8) -> bool {
    is_of(byte, TOKEN)
}

/// Whether `text` is a token: a method, a field name, a coding, a connection option.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// Whether `byte` may occur in a request target: visible ASCII except `#`, which begins a fragment.
pub fn is_target_byte(byte: u8) -> bool {
    is_of(byte, TARGET)
}

/// Whether `byte` may occur in a field's value: visible ASCII, space, tab or above ASCII (RFC 9110 section 5.5).
pub fn is_value_byte(byte: u8) -> bool {
    is_of(byte, VALUE)
}

/// Whether `byte` may occur, unescaped, in a host's registered name (RFC 3986 section 3.2.2).
///
/// The comma is excluded although the RFC allows it: no name has one, but two Host fields that were joined do.
pub fn is_host_byte(byte: u8) -> bool {
    is_of(byte, HOST)
}

pub fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The items of a comma-separated value, trimmed, without empty ones (RFC 9110 section 5.6.1.2).
///
/// Quoted strings are not recognised: a comma within one splits it. Of all that `trim_ascii` removes, only spaces and
/// tabs can occur in a field's value.
pub fn list_items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

/// The value of the first field of this name, which is given in lower case.
pub fn find<'b>(fields: &[Field<'b>], name: &str) -> Option<&'b [u8]> {
    values(fields, name).next()
}

/// The values of all fields of this name, which is given in lower case.
pub fn values<'b>(fields: &[Field<'b>], name: &str) -> impl Iterator<Item = &'b [u8]> {
    let named = fields
        .iter()
        .filter(move |field| name::is(field.name, name));
    named.map(|field| field.value)
}

/// The number that `text` gives in decimal digits and nothing else, if it is below 2^64.
pub fn parse_decimal(text: &[u8]) -> Option<u64> {
    text.first()?;
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Splits a head into its first line, without the line end, and the rest.
///
/// # Errors
/// There is no line, or it does not end in CRLF.
pub fn split_first_line(head: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let end = until_line_feed(head);
    let (line, rest) = head.split_at(end.map_or(head.len(), |end| end + 1));
    match line.strip_suffix(b"\r\n") {
        Some(line) => Ok((line, rest)),
        None => Err(Malformed::BareLineFeed),
    }
}

/// Where the fields of one section are stored. Almost all sections fit in place.
pub struct Storage<'b> {
    few: [Field<'b>; FIELDS_FEW],
    many: Option<Box<[Field<'b>; FIELDS_MAX]>>,
}

impl<'b> Storage<'b> {
    pub const EMPTY: Self = Storage {
        few: [httparse::EMPTY_HEADER; FIELDS_FEW],
        many: None,
    };

    /// The first field of this name, which is given in lower case, among those that were read, even in a head that was
    /// refused.
    pub fn find(&self, name: &str) -> Option<&'b [u8]> {
        match &self.many {
            Some(many) => find(many.as_slice(), name),
            None => find(&self.few, name),
        }
    }
}

/// Reads field lines up to and including the empty line that ends them and `section`.
///
/// [`super::scan::LineScan`] has already checked that every line ends in CRLF; this is not checked again.
///
/// # Errors
/// A flaw in a line, more than [`FIELDS_MAX`] fields, or something after the empty line.
pub fn parse_section<'h, 'b>(
    section: &'b [u8],
    storage: &'h mut Storage<'b>,
) -> Result<&'h [Field<'b>], Malformed> {
    let parsed = match httparse::parse_headers(section, &mut storage.few) {
        Err(httparse::Error::TooManyHeaders) => {
            let many = Box::new([httparse::EMPTY_HEADER; FIELDS_MAX]);
            httparse::parse_headers(section, storage.many.insert(many).as_mut_slice())
        }
        parsed => parsed,
    };
    match parsed {
        Ok(httparse::Status::Complete((length, fields))) if length == section.len() => Ok(fields),
        Err(httparse::Error::TooManyHeaders) => Err(Malformed::FieldsTooMany),
        Ok(_) | Err(_) => Err(diagnose(section)),
    }
}

/// Finds the first flaw in a section that was refused.
fn diagnose(section: &[u8]) -> Malformed {
    let flaw = section
        .split_inclusive(|byte| *byte == b'\n')
        .find_map(|line| match line.strip_suffix(b"\r\n") {
            Some(line) => flaw_of(line),
            None => Some(Malformed::BareLineFeed),
        });
    // An empty line ends the section, so if no line has a flaw, something follows the empty line.
    flaw.unwrap_or(Malformed::FieldColon)
}

fn flaw_of(line: &[u8]) -> Option<Malformed> {
    if line.is_empty() {
        return None;
    }
    if is_blank(line[0]) {
        return Some(Malformed::FieldFolded);
    }
    if line.contains(&0) {
        return Some(Malformed::FieldNul);
    }
    if line.contains(&b'\r') {
        return Some(Malformed::BareCarriageReturn);
    }
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        return Some(Malformed::FieldColon);
    };
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    match name {
        [] => Some(Malformed::FieldNameEmpty),
        [.., last] if is_blank(*last) => Some(Malformed::FieldNameBlank),
        _ if !is_token(name) => Some(Malformed::FieldName),
        _ if !value.iter().all(|byte| is_value_byte(*byte)) => Some(Malformed::FieldValue),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections() {
        let rows: [(&[u8], &str); 34] = [
            (b"\r\n", ""),
            (b"a: b\r\n\r\n", "a=b;"),
            (b"a:b\r\n\r\n", "a=b;"),
            (b"a:\r\n\r\n", "a=;"),
            (b"a: \t \r\n\r\n", "a=;"),
            (b"a: \t b c\t \r\n\r\n", "a=b c;"),
            (b"a: b:c\r\n\r\n", "a=b:c;"),
            (b"A-b_c.!#$%&'*+^`|~9: x\r\n\r\n", "A-b_c.!#$%&'*+^`|~9=x;"),
            (b"a: 1\r\na: 2\r\nB: 3\r\n\r\n", "a=1;a=2;B=3;"),
            (b"a: caf\xc3\xa9\r\n\r\n", "a=café;"),
            (b"a: x\ty\r\n\r\n", "a=x\ty;"),
            (b" a: b\r\n\r\n", "FieldFolded"),
            (b"a: b\r\n c\r\n\r\n", "FieldFolded"),
            (b"a: b\r\n\tc: d\r\n\r\n", "FieldFolded"),
            (b"a: b\r\n \r\n\r\n", "FieldFolded"),
            (b"a : b\r\n\r\n", "FieldNameBlank"),
            (b"a\t: b\r\n\r\n", "FieldNameBlank"),
            (b": b\r\n\r\n", "FieldNameEmpty"),
            (b"a b: c\r\n\r\n", "FieldName"),
            (b"a(b): c\r\n\r\n", "FieldName"),
            (b"\"a\": c\r\n\r\n", "FieldName"),
            (b"a@b: c\r\n\r\n", "FieldName"),
            (b"caf\xc3\xa9: c\r\n\r\n", "FieldName"),
            (b"\x0ba: c\r\n\r\n", "FieldName"),
            (b"ab\r\n\r\n", "FieldColon"),
            (b"a: b\r\n\r\nc: d\r\n\r\n", "FieldColon"),
            (b"a: b\0c\r\n\r\n", "FieldNul"),
            (b"a\0: c\r\n\r\n", "FieldNul"),
            (b"a: b\rc\r\n\r\n", "BareCarriageReturn"),
            (b"a: b\r\r\n\r\n", "BareCarriageReturn"),
            (b"a:\rb\r\n\r\n", "BareCarriageReturn"),
            (b"a: b\x01\r\n\r\n", "FieldValue"),
            (b"a: b\x7f\r\n\r\n", "FieldValue"),
            (b"a: \x1bb\r\n\r\n", "FieldValue"),
        ];
        for (section, want) in rows {
            let mut storage = Storage::EMPTY;
            let got = match parse_section(section, &mut storage) {
                Ok(fields) => fields
                    .iter()
                    .map(|field| {
                        format!("{}={};", field.name, str::from_utf8(field.value).unwrap())
                    })
                    .collect(),
                Err(malformed) => format!("{malformed:?}"),
            };
            assert_eq!(got, want, "{}", section.escape_ascii());
        }
    }

    #[test]
    fn a_section_has_a_hundred_fields_at_most() {
        for (count, want) in [
            (0, Ok(0)),
            (1, Ok(1)),
            (100, Ok(100)),
            (101, Err(Malformed::FieldsTooMany)),
        ] {
            let section = "a: b\r\n".repeat(count) + "\r\n";
            let mut storage = Storage::EMPTY;
            let got = parse_section(section.as_bytes(), &mut storage).map(|fields| fields.len());
            assert_eq!(got, want);
        }
    }

    #[test]
    fn every_byte_is_in_its_classes() {
        for byte in 0..=255u8 {
            let is_tchar = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is_token_byte(byte), is_tchar, "{byte}");
            assert_eq!(is_token(&[b'a', byte]), is_tchar, "{byte}");
            assert_eq!(
                is_target_byte(byte),
                matches!(byte, 0x21..=0x22 | 0x24..=0x7e),
                "{byte}"
            );
            assert_eq!(
                is_value_byte(byte),
                matches!(byte, 9 | 0x20..=0x7e | 0x80..),
                "{byte}"
            );
        }
        assert!(!is_token(b""));
    }

    #[test]
    fn lists_are_divided_at_commas() {
        let rows: [(&[u8], &[&[u8]]); 7] = [
            (b"", &[]),
            (b" , ,\t,", &[]),
            (b"a", &[b"a"]),
            (b"a,b", &[b"a", b"b"]),
            (b" a\t, b c ,,d ", &[b"a", b"b c", b"d"]),
            (b",a", &[b"a"]),
            (b"\"a,b\"", &[b"\"a", b"b\""]),
        ];
        for (value, want) in rows {
            assert_eq!(list_items(value).collect::<Vec<_>>(), want);
        }
    }

    #[test]
    fn first_lines() {
        let rows = [
            ("a\r\nb", Some(("a", "b"))),
            ("\r\n", Some(("", ""))),
            ("a\rb\r\nc", Some(("a\rb", "c"))),
            ("a\nb\r\n", None),
            ("a", None),
            ("", None),
        ];
        for (head, want) in rows {
            let want = want.map(|(line, rest)| (line.as_bytes(), rest.as_bytes()));
            let want = want.ok_or(Malformed::BareLineFeed);
            assert_eq!(split_first_line(head.as_bytes()), want);
        }
    }
}
