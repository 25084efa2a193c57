//! Content codings (RFC 9110 section 8.4.1), for the few bodies that the program itself examines: gzip is decoded.

use std::io::Read as _;

use flate2::read::GzDecoder;

use super::name::Names;

/// The names of gzip.
const GZIP: Names<2> = Names::new(["gzip", "x-gzip"]);

/// Up to `bytes_max` decoded bytes of a body whose beginning is `encoded`. They end at a flaw. Without a coding, or
/// with one other than gzip, `encoded` is returned as it is.
pub fn decoded(coding: Option<&[u8]>, encoded: Vec<u8>, bytes_max: usize) -> Vec<u8> {
    if !coding.is_some_and(|coding| GZIP.has(coding)) {
        return encoded;
    }
    let mut body = Vec::new();
    let mut decoder = GzDecoder::new(&encoded[..]).take(bytes_max as u64);
    // Anything decoded before a flaw or a missing end is kept.
    let _ = decoder.read_to_end(&mut body);
    body
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("memory can be written");
        encoder.finish().expect("memory can be written")
    }

    #[test]
    fn gzip_is_undone_up_to_a_bound() {
        let whole = gzip(b"hello");
        let bomb = gzip(&[b'x'; 1 << 20]);
        let without_end = &whole[..whole.len() - 8];
        let hundred = [b'x'; 100];
        for (coding, encoded, want) in [
            ("gzip", whole.as_slice(), b"hello".as_slice()),
            ("X-GZip", &whole, b"hello"),
            ("gzip", without_end, b"hello"),
            ("gzip", b"hello", b""),
            ("gzip", &bomb, &hundred),
            ("br", b"hello", b"hello"),
        ] {
            let got = decoded(Some(coding.as_bytes()), encoded.to_vec(), 100);
            assert_eq!(got, want, "{coding}: {}", encoded.escape_ascii());
        }
        assert_eq!(decoded(None, b"hello".to_vec(), 100), b"hello");
    }
}
