//! The hosts file: names whose addresses the operator wrote down. It knows no DNS.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use super::interleave;
use super::name::{NAME_BYTES_MAX, normalise};

/// The names of a hosts file with their addresses; its size is bounded only by the operator's file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    names: BTreeMap<Box<str>, Rc<[IpAddr]>>,
}

impl Hosts {
    /// Reads a file's text. A line that cannot be understood is skipped, as every other reader of this file does.
    pub fn parse(text: &str) -> Hosts {
        let mut found: BTreeMap<Box<str>, Vec<IpAddr>> = BTreeMap::new();
        for line in text.lines() {
            let facts = line.split_once('#').map_or(line, |(facts, _comment)| facts);
            let mut words = facts.split_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse().ok()) else {
                continue;
            };
            for word in words {
                let mut buffer = [0; NAME_BYTES_MAX];
                let Some(name) = normalise(word, &mut buffer) else {
                    continue;
                };
                let addresses = found.entry(without_dot(name).into()).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        let names = found
            .into_iter()
            .map(|(name, addresses)| (name, interleave(addresses).into()));
        Hosts {
            names: names.collect(),
        }
    }

    /// The addresses of a (normalised) name.
    pub fn find(&self, name: &str) -> Option<&Rc<[IpAddr]>> {
        self.names.get(without_dot(name))
    }
}

fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_hosts_file() {
        let text = "# comment\n\
            127.0.0.1\tlocalhost   Box.Example # trailing words\n\
            10.0.0.1 twice\n\
            10.0.0.2 twice other.\n\
            fe80::1 twice\n\
            10.0.0.1 twice\n\
            not-an-address skipped\n\
            fe80::1%eth0 zone\n\
            10.0.0.9\n\
            10.0.0.3 good b@d also-good\r\n\
            10.0.0.4#glued";
        let hosts = Hosts::parse(text);
        let rows: [(&str, &[&str]); 10] = [
            ("localhost", &["127.0.0.1"]),
            ("box.example", &["127.0.0.1"]),
            ("twice", &["fe80::1", "10.0.0.1", "10.0.0.2"]),
            ("other", &["10.0.0.2"]),
            ("other.", &["10.0.0.2"]),
            ("skipped", &[]),
            ("zone", &[]),
            ("b@d", &[]),
            ("also-good", &["10.0.0.3"]),
            ("trailing", &[]),
        ];
        for (name, want) in rows {
            let want: Vec<IpAddr> = want.iter().map(|text| text.parse().unwrap()).collect();
            let found = hosts
                .find(name)
                .map(|addresses| addresses.to_vec())
                .unwrap_or_default();
            assert_eq!(found, want, "{name}");
        }
    }
}
