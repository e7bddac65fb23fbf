//! The files of `src/`.

use std::path::Path;

/// Names of the Rust files below a folder, relative to it.
pub fn rust_files(folder: &Path) -> Vec<String> {
    fn gather(folder: &Path, prefix: &str, names: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => gather(&entry.path(), &format!("{name}/"), names),
                false if name.ends_with(".rs") => names.push(name),
                false => {}
            }
        }
    }
    let mut names = Vec::new();
    gather(folder, "", &mut names);
    names.sort();
    names
}
