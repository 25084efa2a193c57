//! Who gets the machine's cores while it is measured what the proxy itself adds to a delay: it has one of its own;
//! attackers get what honest clients and their platform leave of the others. By tools of util-linux, without `unsafe`.

use std::fs;
use std::process::Command;
use std::thread;

/// Gives `process` the first core, and those of `rest` all others; with one core alone, nothing changes.
pub fn give_a_core_to(process: u32, rest: &[u32]) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores > 1 {
        let others = format!("1-{}", cores - 1);
        let pin = |cores, process: u32| {
            run("taskset", &["-a", "-c", "-p", cores, &process.to_string()]);
        };
        rest.iter().for_each(|process| pin(&others, *process));
        pin("0", process);
    }
}

/// From now on this thread, and what it begins, runs while nobody else wants its core.
pub fn give_way() {
    let link = fs::read_link("/proc/thread-self").expect("Linux");
    let thread = link.file_name().and_then(|name| name.to_str());
    run("chrt", &["--idle", "--pid", "0", thread.expect("a number")]);
}

/// As `begin` returns; the threads that it begins give way.
pub fn giving_way<T: Send>(begin: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            give_way();
            begin()
        });
        thread.join().expect("it does not panic")
    })
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} of util-linux: {error}"));
    assert!(output.status.success(), "{program}: {output:?}");
}
