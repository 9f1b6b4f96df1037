//! Copies `src/engine` and `src/api` for the models, with bugs planted in them.
//!
//! Every planted bug sleeps behind a switch that only a positive control turns on: a model that does not catch its
//! bug proves nothing. Where the text to replace is gone the bug is left out, and its control fails and says so;
//! the models still run.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

const SOURCE: &str = "../../src";

/// Name, file, what to replace, by what. `BUG` stands for the switch. Each text to replace stands in its file
/// exactly once, and no replacement has more lines: line numbers stay those of the engine.
const BUGS: [(&str, &str, &str, &str); 0] = [];

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let mut planted = Vec::new();
    for folder in ["engine", "api"] {
        copy(&Path::new(SOURCE).join(folder), &out.join(folder), &mut planted)?;
    }
    let mut modules = String::new();
    for folder in ["engine", "api"] {
        let path = out.join(folder).join("mod.rs");
        modules += "#[allow(dead_code, reason = \"the C boundary uses the rest\")]\n";
        modules += &format!("#[path = {path:?}]\nmod {folder};\n");
    }
    modules += &format!("/// Bugs that can be switched on.\npub const PLANTED: &[&str] = &{planted:?};\n");
    fs::write(out.join("modules.rs"), modules)
}

fn copy(from: &Path, to: &Path, planted: &mut Vec<&str>) -> io::Result<()> {
    println!("cargo:rerun-if-changed={}", from.display());
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        println!("cargo:rerun-if-changed={}", path.display());
        let Some(name) = path.file_name() else { continue };
        let mut text = fs::read_to_string(&path)?;
        for (bug, file, good, bad) in BUGS {
            if path.ends_with(file) && text.matches(good).count() == 1 {
                let switch = format!("crate::sync::bug({bug:?})");
                text = text.replace(good, &bad.replace("BUG", &switch));
                planted.push(bug);
            }
        }
        fs::write(to.join(name), text)?;
    }
    Ok(())
}
