//! resolv.conf: which servers to ask and how patiently, as resolv.conf(5) describes it. It knows no DNS messages.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::name::is_host_name;

/// Most servers that are used; further ones are ignored, as in glibc and musl.
const SERVERS_MAX: usize = 3;

/// Most domains of a search list, as many as Kubernetes writes.
const SEARCH_MAX: usize = 32;

/// The bounds for `ndots`, `timeout` and `attempts` are those of glibc.
const NDOTS_MAX: usize = 15;
const TIMEOUT_SECONDS_MAX: u64 = 30;
const ATTEMPTS_MAX: usize = 5;

/// Shorter than glibc's 5 s and one attempt more, so that a lost datagram or a dead server leaves time to connect.
const TIMEOUT_SECONDS: u64 = 2;
const ATTEMPTS: usize = 3;

const PORT: u16 = 53;

/// What resolv.conf says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    /// At least one.
    pub servers: Vec<SocketAddr>,
    /// Domains in which a short name is looked up, without a trailing dot.
    search: Vec<Box<str>>,
    /// A name with at least this many dots is asked for as it is before the search list is tried.
    ndots: usize,
    /// How long one server has to answer one question.
    pub timeout: Duration,
    /// Rounds over all servers.
    pub attempts: usize,
    /// Whether lookups begin with one server after the other instead of always with the first.
    pub rotate: bool,
}

impl ResolvConf {
    /// Reads a file's text. What cannot be understood is skipped, as every other reader of this file does; for a server
    /// the log says so.
    pub fn parse(text: &str) -> ResolvConf {
        let mut conf = ResolvConf {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(TIMEOUT_SECONDS),
            attempts: ATTEMPTS,
            rotate: false,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let word = words.next().unwrap_or_default();
                    let server = server(word);
                    if server.is_none() {
                        log::warn!("resolv.conf: no server can be asked at {word:?}");
                    }
                    conf.servers.extend(server);
                }
                Some("search" | "domain") => {
                    conf.search = words.filter_map(domain).take(SEARCH_MAX).collect()
                }
                Some("options") => words.for_each(|word| conf.set(word)),
                Some(_) | None => {}
            }
        }
        conf.servers.truncate(SERVERS_MAX);
        if conf.servers.is_empty() {
            conf.servers
                .push(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
        }
        conf
    }

    /// The names to ask for, in turn, when a (normalised) name is looked up; none of them has a trailing dot.
    pub fn candidates(&self, name: &str) -> Vec<Box<str>> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.into()];
        }
        let searched = self
            .search
            .iter()
            .map(|domain| format!("{name}.{domain}").into_boxed_str());
        let mut candidates: Vec<Box<str>> = searched.filter(|name| is_host_name(name)).collect();
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        match dots >= self.ndots {
            true => candidates.insert(0, name.into()),
            false => candidates.push(name.into()),
        }
        candidates
    }

    fn set(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        match (name, value.parse::<usize>()) {
            ("ndots", Ok(dots)) => self.ndots = dots.min(NDOTS_MAX),
            ("timeout", Ok(seconds)) => {
                self.timeout = Duration::from_secs((seconds as u64).clamp(1, TIMEOUT_SECONDS_MAX));
            }
            ("attempts", Ok(attempts)) => self.attempts = attempts.clamp(1, ATTEMPTS_MAX),
            ("rotate", _) => self.rotate = true,
            (_, Ok(_) | Err(_)) => {}
        }
    }
}

/// An address alone, or with a port in OpenBSD's spelling (`[::1]:5353`) or as `10.0.0.1:5353` if it is not 53, or with
/// its zone's number (`fe80::1%2`).
fn server(word: &str) -> Option<SocketAddr> {
    let alone = word
        .parse()
        .map(|address: IpAddr| SocketAddr::new(address, PORT));
    alone
        .or_else(|_| word.parse())
        .or_else(|_| format!("[{word}]:{PORT}").parse())
        .ok()
}

fn domain(word: &str) -> Option<Box<str>> {
    let domain = word.strip_suffix('.').unwrap_or(word);
    is_host_name(domain).then(|| domain.to_ascii_lowercase().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_options() {
        let rows = [
            ("", "127.0.0.1:53 2s x3"),
            ("nameserver 10.0.0.1", "10.0.0.1:53 2s x3"),
            (
                "nameserver 10.0.0.1:5353\nnameserver [::1]:54\n",
                "10.0.0.1:5353 [::1]:54 2s x3",
            ),
            ("nameserver ::1 # words", "[::1]:53 2s x3"),
            (
                "nameserver fe80::1%2\nnameserver [fe80::1%3]:54\nnameserver fe80::1%eth0",
                "[fe80::1%2]:53 [fe80::1%3]:54 2s x3",
            ),
            (
                "nameserver nonsense\nnameserver\nnameserver 10.0.0.2",
                "10.0.0.2:53 2s x3",
            ),
            (
                "#nameserver 10.0.0.1\n; nameserver 10.0.0.2",
                "127.0.0.1:53 2s x3",
            ),
            (
                "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4",
                "10.0.0.1:53 10.0.0.2:53 10.0.0.3:53 2s x3",
            ),
            ("options timeout:7 attempts:1 edns0", "127.0.0.1:53 7s x1"),
            (
                "options timeout:0\r\noptions attempts:0",
                "127.0.0.1:53 1s x1",
            ),
            ("options timeout:99 attempts:99", "127.0.0.1:53 30s x5"),
            (
                "options timeout:x attempts timeout:-1",
                "127.0.0.1:53 2s x3",
            ),
            ("options rotate", "127.0.0.1:53 2s x3 rotate"),
        ];
        for (text, want) in rows {
            let conf = ResolvConf::parse(text);
            let servers: Vec<String> = conf.servers.iter().map(SocketAddr::to_string).collect();
            let rotate = if conf.rotate { " rotate" } else { "" };
            let got = format!(
                "{} {:?} x{}{rotate}",
                servers.join(" "),
                conf.timeout,
                conf.attempts
            );
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn search_list() {
        let kubernetes =
            "search ns.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5";
        let rows = [
            ("", "host", "host"),
            ("", "a.example", "a.example"),
            ("search corp.example", "host", "host.corp.example host"),
            ("search corp.example", "a.b", "a.b a.b.corp.example"),
            ("search corp.example", "host.", "host"),
            ("search one two\nsearch Three. .", "host", "host.three host"),
            ("search one\ndomain two", "host", "host.two host"),
            ("search one\noptions ndots:0", "host", "host host.one"),
            (
                kubernetes,
                "redis.db",
                "redis.db.ns.svc.cluster.local redis.db.svc.cluster.local redis.db.cluster.local redis.db",
            ),
            (
                kubernetes,
                "a.b.c.d.e.f",
                "a.b.c.d.e.f a.b.c.d.e.f.ns.svc.cluster.local a.b.c.d.e.f.svc.cluster.local a.b.c.d.e.f.cluster.local",
            ),
        ];
        for (text, name, want) in rows {
            assert_eq!(
                ResolvConf::parse(text).candidates(name).join(" "),
                want,
                "{text}: {name}"
            );
        }
        let long = [
            "a".repeat(60),
            "b".repeat(60),
            "c".repeat(60),
            "d".repeat(60),
        ]
        .join(".");
        let conf = ResolvConf::parse("search longer.than.it.may.be");
        assert_eq!(
            conf.candidates(&long).join(" "),
            long,
            "a candidate that is too long is left out"
        );
    }
}
