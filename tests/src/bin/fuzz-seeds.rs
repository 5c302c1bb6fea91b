//! Writes valid inputs for every fuzz target: `fuzz-seeds FOLDER` makes `FOLDER/<target>/seed-<n>`.

use std::{fs, path::PathBuf};

use annona_tests::{fuzzing::targets, samples::Samples};

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("usage: fuzz-seeds FOLDER"));
    let samples = Samples::new();
    for target in targets() {
        let folder = folder.join(&target);
        fs::create_dir_all(&folder)?;
        for (number, input) in samples.corpus(&target).iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), input)?;
        }
    }
    Ok(())
}
