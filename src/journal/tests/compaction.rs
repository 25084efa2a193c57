//! When a file is compacted, and what is kept.

use std::os::unix::fs::symlink;

use super::*;

#[test]
fn a_compaction_keeps_the_sums_and_what_is_past_goes() {
    let (folder, mut now) = (Folder::new(), start());
    let mut journal = open(&folder.file(), 1, now).journal;
    for turn in 0..3000 {
        assert!(!journal.wants_compaction() || turn > 900, "turn {turn}");
        journal.note(&used(turn % 3, 1, now), now);
        journal.flush(now);
        assert_eq!(journal.catch_up(now).count(), 0, "its own are no news");
    }
    assert!(journal.wants_compaction());
    now = now.after(Duration::from_secs(3600));
    journal.note(&used(0, 5, now), now);
    let inode = fs::metadata(folder.file()).expect("it is there").ino();
    journal.compact(now);
    assert!(!journal.wants_compaction());
    let metadata = fs::metadata(folder.file()).expect("it is there");
    assert!(metadata.ino() != inode && metadata.len() < 300);
    assert!(!file::aside(&folder.file()).exists());
    let spent = |client| {
        open(&folder.file(), 2, now)
            .journal
            .used_by(&digest(client))
    };
    let first = spent(0).expect("it is kept");
    assert_eq!((first.hour_used, first.day_used), (5, 1005));
    let second = spent(1).expect("it is kept");
    assert_eq!((second.hour_used, second.day_used), (0, 1000));
    // A torn new version that was left behind is no obstacle.
    fs::write(file::aside(&folder.file()), b"torn").expect("the folder can be written to");
    let day = now.after(Duration::from_secs(86_400));
    journal.compact(day);
    let kept = open(&folder.file(), 2, day).journal.used_by(&digest(0));
    let kept = kept.expect("the last use is kept");
    assert_eq!((kept.day_used, kept.unix_ms), (0, now.unix_ms));
}

fn inode(folder: &Folder) -> u64 {
    fs::metadata(folder.file()).expect("it is there").ino()
}

#[test]
fn a_file_that_says_much_is_large_for_a_reason() {
    let (folder, now) = (Folder::new(), start());
    let mut journal = open(&folder.file(), 1, now).journal;
    let clients = 1 + COMPACT_ABOVE_BYTES as usize / USED_BYTES;
    for round in 0..=COMPACT_ABOVE_TIMES {
        assert!(!journal.wants_compaction(), "round {round}");
        for client in 0..clients {
            journal.note(&used(client, 1, now), now);
        }
        journal.flush(now);
        journal.catch_up(now).for_each(drop);
    }
    assert!(journal.wants_compaction());
    journal.compact(now);
    assert!(!journal.wants_compaction());
}

#[test]
fn a_compaction_that_failed_is_tried_again_after_a_while() {
    let (folder, now) = (Folder::new(), start());
    let mut journal = open(&folder.file(), 1, now).journal;
    journal.note(&used(1, 3, now), now);
    journal.flush(now);
    let former = inode(&folder);
    fs::create_dir(file::aside(&folder.file())).expect("the folder can be written to");
    journal.compact(now);
    journal.note(&used(1, 4, now), now);
    assert_eq!(journal.flush(now), None);
    fs::remove_dir(file::aside(&folder.file())).expect("it was made");
    let second = Duration::from_secs(1);
    for (after, is_done) in [
        (COMPACT_RETRY_AFTER - second, false),
        (COMPACT_RETRY_AFTER, true),
    ] {
        journal.compact(now.after(after));
        assert_eq!(inode(&folder) != former, is_done, "{after:?}");
        assert_eq!(kept(&folder, now)[&digest(1)], 7);
    }
}

#[test]
fn who_may_read_a_file_may_read_the_one_in_its_place() {
    let (folder, now) = (Folder::new(), start());
    let mut journal = open(&folder.file(), 1, now).journal;
    let former = inode(&folder);
    let mode = || fs::metadata(folder.file()).expect("it is there").mode() & 0o777;
    assert_eq!(mode(), 0o600);
    let others_read = fs::Permissions::from_mode(0o644);
    fs::set_permissions(folder.file(), others_read).expect("it is ours");
    let mut journal_again = open(&folder.file(), 2, now).journal;
    drop(journal.catch_up(now));
    journal_again.compact(now);
    assert!(inode(&folder) != former);
    assert_eq!(mode(), 0o644);
}

#[test]
fn a_link_is_kept_when_the_file_that_it_leads_to_is_replaced() {
    for is_new in [true, false] {
        let (folder, now) = (Folder::new(), start());
        let target = folder.at("target");
        symlink("target", folder.file()).expect("a link can be made");
        if !is_new {
            fs::write(&target, b"").expect("the folder can be written to");
        }
        let mut first = open(&folder.file(), 1, now).journal;
        let mut second = open(&folder.file(), 2, now).journal;
        first.note(&used(1, 3, now), now);
        first.flush(now);
        drop(first.catch_up(now));
        let former = inode(&folder);
        first.compact(now);
        assert!(inode(&folder) != former, "it is replaced");
        assert!(folder.file().is_symlink() && target.is_file());
        second.note(&used(1, 4, now), now);
        second.flush(now);
        assert_eq!(counts(&Vec::from_iter(first.catch_up(now)))[&digest(1)], 4);
        assert_eq!(kept(&folder, now)[&digest(1)], 7);
    }
}
