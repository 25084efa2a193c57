//! How many clients the file descriptors suffice for. It knows no socket.

use std::io;

/// Descriptors that belong to no client: the poll, listeners, pipes, the journal, files being read, and a usual number
/// of queries to name servers. When those need more, accepting pauses.
const RESERVED: u64 = 32;

/// One for the client's socket, one for the upstream connection of its request.
const DESCRIPTORS_PER_CLIENT: u64 = 2;

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
        // The kernel refuses more than the hard limit; the library asks for the smaller of the two.
        let descriptors = rlimit::increase_nofile_limit(u64::MAX)?;
        Ok(Capacity { descriptors })
    }

    /// How many clients are accepted at once: `configured`, or fewer, so that each one's request gets a descriptor.
    pub fn clients_max(self, configured: usize) -> usize {
        let clients = self.descriptors.saturating_sub(RESERVED) / DESCRIPTORS_PER_CLIENT;
        usize::try_from(clients).map_or(configured, |clients| clients.clamp(1, configured))
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
    fn each_client_finds_two_descriptors() {
        // (descriptors, max_connections, clients)
        for (descriptors, configured, want) in [
            (1024, 10_000, 496),
            (20_032, 10_000, 10_000),
            (20_031, 10_000, 9_999),
            (64, 10_000, 16),
            (64, 3, 3),
            (8, 10_000, 1),
            (u64::MAX, 10_000, 10_000),
        ] {
            let capacity = Capacity { descriptors };
            assert_eq!(capacity.clients_max(configured), want, "{descriptors}");
            let is_short = want < configured;
            let line = capacity.line(configured);
            assert_eq!(line.contains("instead of"), is_short, "{line}");
        }
    }
}
