//! Who gets the machine's cores while the delay that the proxy itself adds is measured: it shares one core with honest
//! clients and their platform, which take precedence there, and attackers get the others. On one core with attackers,
//! clients would also wait for them: a kernel without preemption lets a client wait for an attacker's system calls. It
//! uses tools of util-linux, without `unsafe`.

use std::fs;
use std::process::Command;
use std::thread;

use crate::support::place;

/// Gives `processes` the first core, and `rest` all others; on a single core, nothing changes.
pub fn give_a_core_to(processes: &[u32], rest: u32) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores > 1 {
        let pin = |cores, process: u32| {
            run("taskset", &["-a", "-c", "-p", cores, &process.to_string()]);
        };
        processes.iter().for_each(|process| pin("0", *process));
        pin(&format!("1-{}", cores - 1), rest);
    }
}

/// Lets all threads of `process` run before others that want their core, if this program is permitted to.
pub fn comes_first(process: u32) {
    let id = process.to_string();
    if let Err(problem) = tell("chrt", &["--all-tasks", "--fifo", "--pid", "1", &id]) {
        println!("delays hold what honest clients wait for the proxy's core, too: {problem}");
    }
}

/// From now on this thread, and those that it starts, run only while no other wants their core.
pub fn give_way() {
    let link = fs::read_link("/proc/thread-self").expect("Linux");
    let thread = link.file_name().and_then(|name| name.to_str());
    run("chrt", &["--idle", "--pid", "0", thread.expect("a number")]);
}

/// Returns what `begin` returns; the threads that it starts give way.
pub fn giving_way<T: Send>(begin: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            give_way();
            begin()
        });
        thread.join().expect("it does not panic")
    })
}

/// Runs `test` of this program once more, in a network from which the proxy and honest clients are as remote as another
/// machine: there attackers' connections are handled by other cores, as by their own machines', and the kernel does not
/// take the shortcuts that it has between processes of one machine. Returns false where that cannot be set up.
pub fn runs_apart(test: &str) -> bool {
    let program = std::env::current_exe().expect("it has a path");
    let cores = thread::available_parallelism().map_or(1, usize::from);
    // All but the first.
    let others = format!("{:x}", ((1_u64 << cores.min(32)) - 1) & !1);
    let status = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", SET_UP, place::NETWORK])
        .args([place::TEST_HOST, place::PROGRAMS_HOST, &others])
        .arg(program)
        .args(["--exact", test, "--nocapture"])
        .env(place::APART, "")
        .status();
    match status.ok().and_then(|status| status.code()) {
        Some(0) => true,
        Some(NO_NETWORK) | None => {
            println!(
                "attackers are on the proxy's own machine: no network can be made (root, iproute2)"
            );
            false
        }
        Some(_) => panic!("it failed there"),
    }
}

/// The shell's exit status where no network can be made, and that of `unshare`.
const NO_NETWORK: i32 = 1;

/// Makes the network `$0` and the link to it, from `$1` to `$2`; what arrives over it is received by the cores `$3`.
const SET_UP: &str = r#"
    network=$0 here=$1 there=$2 cores=$3
    shift 3
    {
        mount -t tmpfs tmpfs /run && mount -t sysfs sysfs /sys &&
        ip link set lo up &&
        ip netns add "$network" &&
        ip link add away type veth peer name back netns "$network" &&
        ip address add "$here/24" dev away && ip link set away up &&
        ip -n "$network" link set lo up &&
        ip -n "$network" address add "$there/24" dev back && ip -n "$network" link set back up &&
        echo "$cores" > /sys/class/net/away/queues/rx-0/rps_cpus
    } || exit 1
    exec "$@"
"#;

fn run(program: &str, arguments: &[&str]) {
    tell(program, arguments).expect("a tool of util-linux");
}

fn tell(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {output:?}")),
    }
}
