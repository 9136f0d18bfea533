//! Replays the committed inputs. One test for all, since the allocator's bound is the whole process's.

use super::{MEMORY, TARGETS, run};
use std::path::Path;

#[test]
fn every_input_of_the_corpora_holds() {
    for target in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
        let mut inputs: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(inputs.len() >= 3, "{} has inputs", folder.display());
        for input in inputs {
            // Shown when the check panics.
            println!("{}", input.display());
            run(target.name, &std::fs::read(&input).unwrap());
        }
        run(target.name, &[]);
    }
    assert_eq!(MEMORY.limit(), usize::MAX);
}
