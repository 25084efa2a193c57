//! Replays the inputs that fuzzing has kept (`fuzz/corpus/`) through the properties that the fuzz targets check.

use std::fs;
use std::path::{Path, PathBuf};

mod properties;

/// The total size of the inputs that the repository may hold.
const CORPUS_BYTES_MAX: u64 = 1_000_000;

/// Names the input when the property does not hold for it.
struct Replay(PathBuf);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input that failed: {}", self.0.display());
        }
    }
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let entries = fs::read_dir(corpus.join(target)).expect("each target has a corpus");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder can be listed").path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_kept_input_holds() {
    for (target, check) in properties::ALL {
        let inputs = inputs(target);
        assert!(!inputs.is_empty(), "{target} has no corpus");
        for path in inputs {
            let data = fs::read(&path).expect("a file can be read");
            let _replay = Replay(path);
            check(&data);
        }
    }
}

#[test]
fn the_corpus_stays_small() {
    let sizes = properties::ALL
        .iter()
        .flat_map(|(target, _)| inputs(target))
        .map(|path| fs::metadata(path).expect("it is there").len());
    assert!(sizes.sum::<u64>() <= CORPUS_BYTES_MAX);
}
