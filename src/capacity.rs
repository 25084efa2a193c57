//! How many clients and probes the file descriptors suffice for. It knows no socket of theirs.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that belong to no client: the poll, its alarm, listeners, pipes, the journal, files being read, and a usual
/// number of queries to name servers. When those need more, accepting pauses.
const RESERVED: u64 = 32;

/// One for the client's socket, one for the upstream connection of its request.
const DESCRIPTORS_PER_CLIENT: u64 = 2;

/// Probes may take one in this many of the others: a round of them leaves clients enough.
const PROBES_PARTS: u64 = 4;

/// The least that must be free once all else is open, for a request and for a probe beside it: the client's socket, and
/// both ends of two connections to the demo platform.
const FREE_MIN: usize = 5;

/// What the operating system grants this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    descriptors: u64,
}

impl Capacity {
    /// Raises the limit of file descriptors as far as this process may, to its hard limit.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn raise() -> io::Result<Capacity> {
        let (_, descriptors) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, descriptors, descriptors)?;
        Ok(Capacity { descriptors })
    }

    /// Finds out, once all else is open, whether anybody could be served. What is open may have been inherited.
    ///
    /// # Errors
    /// A message that says what to do.
    pub fn suffices(self) -> Result<(), String> {
        let free = (0..FREE_MIN).map(|_| io::stdin().as_fd().try_clone_to_owned());
        match free.collect::<io::Result<Vec<OwnedFd>>>() {
            Ok(_) => Ok(()),
            Err(error) => Err(format!(
                "the hard limit of {} file descriptors is too low to serve anybody: {error}; raise it (ulimit -Hn, \
                 LimitNOFILE)",
                self.descriptors
            )),
        }
    }

    /// How many clients are accepted at once: `configured`, or fewer, so that each one's request gets a descriptor.
    pub fn clients_max(self, configured: usize) -> usize {
        let clients = self.unreserved() / DESCRIPTORS_PER_CLIENT;
        usize::try_from(clients).map_or(configured, |clients| clients.clamp(1, configured))
    }

    /// How many probes are under way at once, so that each gets a descriptor.
    pub fn probes_max(self) -> usize {
        let probes = self.unreserved() / PROBES_PARTS;
        usize::try_from(probes).map_or(usize::MAX, |probes| probes.max(1))
    }

    fn unreserved(self) -> u64 {
        self.descriptors.saturating_sub(RESERVED)
    }

    /// A line for the operator.
    pub fn line(self, configured: usize) -> String {
        let (clients, descriptors) = (self.clients_max(configured), self.descriptors);
        match clients < configured {
            false => {
                format!("capacity: {clients} clients at once ({descriptors} file descriptors)")
            }
            true => format!(
                "capacity: {clients} clients at once instead of max_connections {configured}, which needs {} file \
                 descriptors; the hard limit is {descriptors} (ulimit -Hn, LimitNOFILE)",
                configured as u64 * DESCRIPTORS_PER_CLIENT + RESERVED
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_finds_two_descriptors_and_each_probe_one() {
        // (descriptors, max_connections, clients, probes)
        for (descriptors, configured, want, probes) in [
            (1024, 10_000, 496, 248),
            (20_032, 10_000, 10_000, 5_000),
            (20_031, 10_000, 9_999, 4_999),
            (64, 10_000, 16, 8),
            (64, 3, 3, 8),
            (8, 10_000, 1, 1),
            (u64::MAX, 10_000, 10_000, usize::MAX / 4 - 8),
        ] {
            let capacity = Capacity { descriptors };
            assert_eq!(capacity.clients_max(configured), want, "{descriptors}");
            assert_eq!(capacity.probes_max(), probes, "{descriptors}");
            let is_short = want < configured;
            let line = capacity.line(configured);
            assert_eq!(line.contains("instead of"), is_short, "{line}");
        }
    }
}
