//! Writes the test vectors: `vectors FOLDER`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{env, fs, path::PathBuf, process::ExitCode};

use annona_tests::{life::World, vectors::files};

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: vectors FOLDER");
        return ExitCode::from(2);
    };
    for file in files(&World::new()) {
        let path = folder.join(file.name).with_extension("json");
        let text = file.json().to_pretty();
        println!("{}: {} cases, {} bytes", path.display(), file.cases.len(), text.len());
        if let Err(error) = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, text)) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
