//! What applies to one connection only: the Connection field, and the fields that end at the next hop (RFC 9110
//! section 7.6.1).

use super::Version;
use super::field::list_items;
use super::malformed::Malformed;
use super::name::{self, Names};

/// Most field names that Connection may add to the known ones. Each field of the head is compared with each of them.
const NAMED_MAX: usize = 16;

/// Fields that concern one connection, whether or not Connection names them.
const HOP_BY_HOP: Names<9> = Names::new([
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "upgrade",
]);

/// Fields that Connection cannot remove: without them the message would mean something else.
const NEVER_REMOVED: Names<3> = Names::new(["content-length", "host", "transfer-encoding"]);

/// What the Connection fields of one head say, gathered line by line.
#[derive(Clone, Debug, Default)]
pub struct ConnectionOptions<'b> {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    named: Vec<&'b [u8]>,
}

impl<'b> ConnectionOptions<'b> {
    /// Adds a line. Options that are not tokens name no field.
    ///
    /// # Errors
    /// The lines name too many fields.
    pub fn add(&mut self, value: &'b [u8]) -> Result<(), Malformed> {
        for option in list_items(value) {
            if name::is(option, "close") {
                self.close = true;
            } else if name::is(option, "keep-alive") {
                self.keep_alive = true;
            } else if name::is(option, "upgrade") {
                self.upgrade = true;
            } else if !HOP_BY_HOP.has(option) {
                if self.named.len() == NAMED_MAX {
                    return Err(Malformed::ConnectionOptionsTooMany);
                }
                self.named.push(option);
            }
        }
        Ok(())
    }

    /// Whether the connection stays open after the message (RFC 9112 section 9.3).
    pub fn is_persistent(&self, version: Version) -> bool {
        match version {
            Version::Http11 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        }
    }

    /// Whether an Upgrade field may be honoured (RFC 9110 section 7.8).
    pub fn has_upgrade(&self) -> bool {
        self.upgrade
    }

    /// Whether a field of this name may be forwarded to the next hop.
    pub fn passes(&self, name: &str) -> bool {
        let mut named = self.named.iter();
        NEVER_REMOVED.has(name)
            || !HOP_BY_HOP.has(name)
                && !named.any(|field| field.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// Whether a field of this name concerns one connection only, whatever Connection says.
pub fn is_hop_by_hop(name: &str) -> bool {
    HOP_BY_HOP.has(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered<'b>(lines: &[&'b str]) -> ConnectionOptions<'b> {
        let mut connection = ConnectionOptions::default();
        for line in lines {
            connection.add(line.as_bytes()).unwrap();
        }
        connection
    }

    #[test]
    fn persistence() {
        // Lines, whether HTTP/1.1 and whether HTTP/1.0 stays open, whether an upgrade is offered.
        let rows: [(&[&str], bool, bool, bool); 14] = [
            (&[], true, false, false),
            (&[""], true, false, false),
            (&["close"], false, false, false),
            (&["Close"], false, false, false),
            (&["keep-alive"], true, true, false),
            (&["Keep-Alive"], true, true, false),
            (&["keep-alive, close"], false, false, false),
            (&["close", "keep-alive"], false, false, false),
            (&["keep-alive", "x, CLOSE"], false, false, false),
            (&["x,,close,"], false, false, false),
            (&["closed"], true, false, false),
            (&["close x"], true, false, false),
            (&["Upgrade"], true, false, true),
            (&["keep-alive, Upgrade"], true, true, true),
        ];
        for (lines, in_11, in_10, upgrade) in rows {
            let connection = gathered(lines);
            assert_eq!(
                connection.is_persistent(Version::Http11),
                in_11,
                "{lines:?}"
            );
            assert_eq!(
                connection.is_persistent(Version::Http10),
                in_10,
                "{lines:?}"
            );
            assert_eq!(connection.has_upgrade(), upgrade, "{lines:?}");
        }
    }

    #[test]
    fn fields_that_pass() {
        let rows: [(&[&str], &str, bool); 28] = [
            (&[], "accept", true),
            (&[], "authorization", true),
            (&[], "trailer", true),
            (&[], "Content-Length", true),
            (&[], "Transfer-Encoding", true),
            (&[], "Host", true),
            (&[], "connection", false),
            (&[], "Connection", false),
            (&[], "Keep-Alive", false),
            (&[], "Proxy-Connection", false),
            (&[], "Proxy-Authorization", false),
            (&[], "Proxy-Authenticate", false),
            (&[], "Proxy-Authentication-Info", false),
            (&[], "TE", false),
            (&[], "Upgrade", false),
            (&[], "HTTP2-Settings", false),
            (&["x-a"], "X-A", false),
            (&["X-a"], "x-a", false),
            (&["x-a"], "x-ab", true),
            (&["x-a"], "x-", true),
            (&["x-a, x-b"], "x-b", false),
            (&["close", "keep-alive, x-b"], "x-b", false),
            (&["close"], "close", true),
            (&["x-a y"], "x-a", true),
            (&["content-length"], "Content-Length", true),
            (&["Transfer-Encoding"], "transfer-encoding", true),
            (&["host, x-a"], "Host", true),
            (&["te, upgrade"], "te", false),
        ];
        for (lines, name, want) in rows {
            assert_eq!(gathered(lines).passes(name), want, "{lines:?} {name}");
        }
    }

    #[test]
    fn too_many_names_are_refused_and_known_ones_do_not_count() {
        let rows = [
            ("x,".repeat(16), Ok(())),
            ("x,".repeat(17), Err(Malformed::ConnectionOptionsTooMany)),
            ("x,".repeat(16) + "TE, close, keep-alive, upgrade,,", Ok(())),
            ("close, te,".repeat(100), Ok(())),
        ];
        for (line, want) in rows {
            assert_eq!(
                ConnectionOptions::default().add(line.as_bytes()),
                want,
                "{line}"
            );
        }
    }
}
