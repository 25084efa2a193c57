//! What the kernel reports about this process, read from the texts of Linux's `/proc` (proc(5)). It opens no file.

/// The texts, empty where there are none (not on Linux).
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcTexts<'t> {
    /// `/proc/self/stat`
    pub stat: &'t str,
    /// `/proc/self/status`
    pub status: &'t str,
    /// `/proc/self/limits`
    pub limits: &'t str,
    /// `/proc/stat`
    pub system_stat: &'t str,
    /// Entries of `/proc/self/fd`.
    pub open_fds: Option<u64>,
}

/// `None` is what could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    pub cpu_seconds: Option<f64>,
    pub resident_memory_bytes: Option<u64>,
    pub virtual_memory_bytes: Option<u64>,
    pub open_fds: Option<u64>,
    pub max_fds: Option<u64>,
    pub start_time_unix_seconds: Option<f64>,
}

/// Linux counts time for user space in hundredths of a second on every architecture (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

// Fields of `stat`, counted from the one after the command's name.
const STAT_USER_TICKS: usize = 11;
const STAT_SYSTEM_TICKS: usize = 12;
const STAT_START_TICKS: usize = 19;

impl Process {
    pub fn read(texts: &ProcTexts) -> Process {
        // The command's name may contain blanks and parentheses; nothing after its closing parenthesis does.
        let fields = texts.stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks = |field: usize| {
            fields
                .split_ascii_whitespace()
                .nth(field)?
                .parse::<f64>()
                .ok()
        };
        let cpu_ticks = ticks(STAT_USER_TICKS)
            .zip(ticks(STAT_SYSTEM_TICKS))
            .map(|(user, system)| user + system);
        let boot_unix_seconds =
            number_after(texts.system_stat, "btime ").map(|seconds| seconds as f64);
        let kibibytes =
            |name| number_after(texts.status, name).map(|number| number.saturating_mul(1024));
        Process {
            cpu_seconds: cpu_ticks.map(|ticks| ticks / TICKS_PER_SECOND),
            resident_memory_bytes: kibibytes("VmRSS:"),
            virtual_memory_bytes: kibibytes("VmSize:"),
            open_fds: texts.open_fds,
            max_fds: number_after(texts.limits, "Max open files "),
            start_time_unix_seconds: boot_unix_seconds
                .zip(ticks(STAT_START_TICKS))
                .map(|(boot, start)| boot + start / TICKS_PER_SECOND),
        }
    }
}

/// The first number on the line that begins with `name`.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub const TEXTS: ProcTexts = ProcTexts {
        stat: "42 (ai) api (proxy) S 1 42 42 0 -1 4194560 500 0 0 0 150 75 0 0 20 0 1 0 12345 9000000 600 \
               18446744073709551615 1 1 0",
        status: "Name:\tai-api-proxy\nVmPeak:\t    9000 kB\nVmSize:\t    8000 kB\nVmRSS:\t    2400 kB\n",
        limits: "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max processes             100                  200                  processes \n\
                 Max open files            1024                 4096                 files     \n",
        system_stat: "cpu  1 2 3\nctxt 9\nbtime 1700000000\nprocesses 5\n",
        open_fds: Some(17),
    };

    #[test]
    fn reads_what_is_there() {
        let want = Process {
            cpu_seconds: Some(2.25),
            resident_memory_bytes: Some(2_457_600),
            virtual_memory_bytes: Some(8_192_000),
            open_fds: Some(17),
            max_fds: Some(1024),
            start_time_unix_seconds: Some(1_700_000_123.45),
        };
        assert_eq!(Process::read(&TEXTS), want);
        let rows = [
            (
                ProcTexts { stat: "", ..TEXTS },
                Process {
                    cpu_seconds: None,
                    start_time_unix_seconds: None,
                    ..want
                },
            ),
            (
                ProcTexts {
                    stat: "1 (x",
                    ..TEXTS
                },
                Process {
                    cpu_seconds: None,
                    start_time_unix_seconds: None,
                    ..want
                },
            ),
            (
                ProcTexts {
                    system_stat: "btime x",
                    ..TEXTS
                },
                Process {
                    start_time_unix_seconds: None,
                    ..want
                },
            ),
            (
                ProcTexts {
                    status: "VmRSS:",
                    ..TEXTS
                },
                Process {
                    resident_memory_bytes: None,
                    virtual_memory_bytes: None,
                    ..want
                },
            ),
            (
                ProcTexts {
                    limits: "Max open files  unlimited",
                    ..TEXTS
                },
                Process {
                    max_fds: None,
                    ..want
                },
            ),
            (ProcTexts::default(), Process::default()),
        ];
        for (texts, want) in rows {
            assert_eq!(Process::read(&texts), want, "{texts:?}");
        }
    }
}
