//! Writes the test vectors and the examples of the wire format anew: `vectors FOLDER`, the folder of `spec/vectors`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use annona_tests::{life::World, page, vectors::files};

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: vectors FOLDER");
        return ExitCode::from(2);
    };
    let world = World::new();
    let mut written = Vec::new();
    for file in files(&world) {
        let path = folder.join(file.name).with_extension("json");
        let text = file.json().to_pretty();
        println!("{}: {} cases, {} bytes", path.display(), file.cases.len(), text.len());
        written.push((path, text));
    }
    let page = folder.join("../wire.md");
    if let Ok(text) = fs::read_to_string(&page) {
        written.push((page, page::fill(&text, &world)));
    }
    match written.iter().try_for_each(|(path, text)| write(&folder, path, text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}: is it a folder that you may write to?", folder.display());
            ExitCode::from(2)
        }
    }
}

fn write(folder: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(path, text)
}
