//! The grammar of the line before a chunk: its size and extensions (RFC 9112 section 7.1).

use super::field::{is_blank, is_token_byte, is_value_byte};
use super::malformed::Malformed;

/// The size in a chunk line, which is given without its line end: `1*HEXDIG [chunk-ext]`.
///
/// # Errors
/// There is no size, it has too many digits, or what follows is not a list of extensions.
pub fn parse_size(line: &[u8]) -> Result<u64, Malformed> {
    let (mut size, mut digits) = (0, 0);
    for byte in line {
        let Some(value) = char::from(*byte).to_digit(16) else {
            break;
        };
        size = size << 4 | u64::from(value);
        digits += 1;
    }
    match digits {
        0 => return Err(Malformed::ChunkSize),
        1..=16 => {}
        _ => return Err(Malformed::ChunkSizeTooLarge),
    }
    skip_extensions(&line[digits..]).ok_or(Malformed::ChunkExtension)?;
    Ok(size)
}

/// `*( BWS ";" BWS name [ BWS "=" BWS value ] )` with a token or a quoted string as the value (RFC 9112 section 7.1.1).
/// The meaning of extensions is ignored, as it must be; they are not forwarded.
fn skip_extensions(mut text: &[u8]) -> Option<()> {
    while !text.is_empty() {
        text = skip_blanks(text).strip_prefix(b";")?;
        text = skip_token(skip_blanks(text))?;
        if let Some(value) = skip_blanks(text).strip_prefix(b"=") {
            text = match skip_blanks(value) {
                [b'"', quoted @ ..] => skip_quoted(quoted)?,
                token => skip_token(token)?,
            };
        }
    }
    Some(())
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !is_blank(*byte));
    &text[end.unwrap_or(text.len())..]
}

fn skip_token(text: &[u8]) -> Option<&[u8]> {
    let end = text
        .iter()
        .position(|byte| !is_token_byte(*byte))
        .unwrap_or(text.len());
    (end > 0).then(|| &text[end..])
}

/// What follows the closing quote of a quoted string (RFC 9110 section 5.6.4).
fn skip_quoted(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        text = match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, rest @ ..] if is_value_byte(*escaped) => rest,
            [byte, rest @ ..] if is_value_byte(*byte) => rest,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        const SIZE: Malformed = Malformed::ChunkSize;
        const TOO_LARGE: Malformed = Malformed::ChunkSizeTooLarge;
        let rows: [(&[u8], Result<u64, Malformed>); 21] = [
            (b"0", Ok(0)),
            (b"000", Ok(0)),
            (b"9", Ok(9)),
            (b"a", Ok(10)),
            (b"A", Ok(10)),
            (b"fF", Ok(255)),
            (b"0000000000000005", Ok(5)),
            (b"ffffffffffffffff", Ok(u64::MAX)),
            (b"00000000000000005", Err(TOO_LARGE)),
            (b"10000000000000000", Err(TOO_LARGE)),
            (b"fffffffffffffffff", Err(TOO_LARGE)),
            (b"", Err(SIZE)),
            (b" 5", Err(SIZE)),
            (b"\t5", Err(SIZE)),
            (b"+5", Err(SIZE)),
            (b"-5", Err(SIZE)),
            (b"x5", Err(SIZE)),
            (b"g", Err(SIZE)),
            (b";a", Err(SIZE)),
            (b"\"5\"", Err(SIZE)),
            (b"\xef\xbc\x91", Err(SIZE)),
        ];
        for (line, want) in rows {
            assert_eq!(parse_size(line), want, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn extensions() {
        let rows: [(&[u8], bool); 41] = [
            (b"0x5", false),
            (b"5h", false),
            (b"5_0", false),
            (b"5,5", false),
            (b"5.0", false),
            (b"5 5", false),
            (b"5 ", false),
            (b"5\t", false),
            (b"5\0", false),
            (b"5\r", false),
            (b"5\x0b;a", false),
            (b"5;a", true),
            (b"5;a=b", true),
            (b"5;a=b;c;d=e", true),
            (b"5 ;\ta = b ; c", true),
            (b"5;a=\"\"", true),
            (b"5;a=\"b;c=d\";e", true),
            (b"5;a=\"b\\\"c\\\\\"", true),
            (b"5;a=\"\\\t\xff \t\"", true),
            (b"5;", false),
            (b"5; ", false),
            (b"5;;a", false),
            (b"5;a;", false),
            (b"5;a ", false),
            (b"5;a=", false),
            (b"5;a= ", false),
            (b"5;=b", false),
            (b"5;a==b", false),
            (b"5;a=b=c", false),
            (b"5;a b", false),
            (b"5;a=b c", false),
            (b"5;a@b", false),
            (b"5;\"a\"", false),
            (b"5;a=b\0", false),
            (b"5;a=\r", false),
            (b"5;a=\"b", false),
            (b"5;a=\"b\\", false),
            (b"5;a=\"b\"c", false),
            (b"5;a=\"b\0\"", false),
            (b"5;a=\"b\x7f\"", false),
            (b"5;a=\"\\\r\"", false),
        ];
        for (line, want) in rows {
            let want = if want {
                Ok(5)
            } else {
                Err(Malformed::ChunkExtension)
            };
            assert_eq!(parse_size(line), want, "{}", line.escape_ascii());
        }
    }
}
