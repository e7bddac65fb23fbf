//! Lists the certified records, so that they are part of the extension module.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Rooms of `golden/` that users ask for.
const ROOMS: [&str; 5] = ["boolean", "flatness", "kernel", "normal", "prior"];
const ENDINGS: [&str; 4] = ["json", "npy", "npz", "safetensors"];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden");
    let mut lines = String::from("static FILES: &[(&str, &[u8])] = &[\n");
    for room in ROOMS {
        let folder = root.join(room);
        println!("cargo::rerun-if-changed={}", folder.display());
        let entries = std::fs::read_dir(&folder).expect("the crate holds its certified records");
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
        files.sort();
        for path in files {
            if path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| ENDINGS.contains(&ending)) {
                let name = path.file_name().and_then(|name| name.to_str()).expect("names are text");
                let path = path.canonicalize().expect("it is there");
                writeln!(lines, "    ({:?}, include_bytes!({:?})),", format!("{room}/{name}"), path).expect("memory");
            }
        }
    }
    lines += "];\n";
    let out = std::env::var_os("OUT_DIR").expect("cargo says where");
    std::fs::write(Path::new(&out).join("golden.rs"), lines).expect("the folder of the build can be written");
}
