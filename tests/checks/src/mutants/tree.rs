//! A copy of the project with every mutant in it, built once.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::list::{Genre, Mutant};
use super::schemata::{Rewritten, rewrite};
use crate::tool::{Result, root, run};

/// What a build of the suites needs.
const COPIED: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "build.rs",
    "cbindgen.toml",
    "README.md",
    "src",
    "include",
    "tests",
    "benches",
    "examples",
];

/// The copy, once it compiles.
pub(crate) struct Tree {
    pub(crate) place: PathBuf,
    /// Those in it.
    pub(crate) chosen: HashSet<u32>,
    /// Those that the compiler refuses.
    pub(crate) refused: HashSet<u32>,
    /// Those that it refuses in this form only.
    alone: HashSet<u32>,
}

fn told(path: &Path) -> impl Fn(std::io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}

/// Writes a file unless it says that already: cargo looks at times.
fn write(path: &Path, content: &[u8]) -> Result {
    if std::fs::read(path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(told(parent))?;
    }
    std::fs::write(path, content).map_err(told(path))
}

fn copy(from: &Path, to: &Path, mutated: &HashSet<PathBuf>) -> Result {
    if mutated.contains(to) {
        return Ok(());
    }
    if !from.is_dir() {
        return write(to, &std::fs::read(from).map_err(told(from))?);
    }
    for entry in std::fs::read_dir(from).map_err(told(from))? {
        let name = entry.map_err(told(from))?.file_name();
        if name != "target" && name != "node_modules" {
            copy(&from.join(&name), &to.join(&name), mutated)?;
        }
    }
    Ok(())
}

impl Tree {
    /// Copies the project to `place`, with these mutants, and has the compiler say which of them it takes.
    ///
    /// # Errors
    /// What cannot be read or written, or compiles without mutants only.
    pub(crate) fn make(place: PathBuf, mutants: &[Mutant]) -> Result<Tree> {
        let files: HashSet<&str> = mutants.iter().map(|mutant| mutant.file.as_str()).collect();
        let mut mutated: HashSet<PathBuf> = files.iter().map(|file| place.join(file)).collect();
        mutated.insert(place.join("src/lib.rs"));
        for name in COPIED {
            copy(&root().join(name), &place.join(name), &mutated)?;
        }
        let lib = root().join("src/lib.rs");
        let lib = std::fs::read_to_string(&lib).map_err(told(&lib))?;
        write(
            &place.join("src/lib.rs"),
            format!("{lib}\nmod mutant;\n").as_bytes(),
        )?;
        write(&place.join("src/mutant.rs"), include_bytes!("switch.rs"))?;
        let mut tree = Tree {
            place,
            chosen: HashSet::new(),
            refused: HashSet::new(),
            alone: HashSet::new(),
        };
        tree.remember(mutants);
        loop {
            let written = tree.write(&files, mutants)?;
            if !tree.refuse(&written)? {
                tree.keep(mutants)?;
                return Ok(tree);
            }
        }
    }

    fn kept(&self) -> PathBuf {
        self.place.join("target/refused")
    }

    /// Those that were refused the last time are not tried again: what was built for the others stays.
    fn remember(&mut self, mutants: &[Mutant]) {
        let text = std::fs::read_to_string(self.kept()).unwrap_or_default();
        let kept: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once('\t')).collect();
        for mutant in mutants {
            match kept.get(mutant.name.as_str()) {
                Some(&"alone") => self.alone.insert(mutant.id),
                Some(_) => self.refused.insert(mutant.id),
                None => false,
            };
        }
    }

    fn keep(&self, mutants: &[Mutant]) -> Result {
        let mut text = String::new();
        for mutant in mutants {
            if self.alone.contains(&mutant.id) {
                text += &format!("{}\talone\n", mutant.name);
            } else if self.refused.contains(&mutant.id) {
                text += &format!("{}\trefused\n", mutant.name);
            }
        }
        write(&self.kept(), text.as_bytes())
    }

    fn write(&mut self, files: &HashSet<&str>, mutants: &[Mutant]) -> Result<Vec<(String, Rewritten)>> {
        let mut all = Vec::new();
        self.chosen.clear();
        for file in files {
            let path = root().join(file);
            let source = std::fs::read_to_string(&path).map_err(told(&path))?;
            let is_in = |mutant: &&Mutant| {
                let is_refused = self.refused.contains(&mutant.id) || self.alone.contains(&mutant.id);
                mutant.file == *file && mutant.genre != Genre::Field && !is_refused
            };
            let those: Vec<&Mutant> = mutants.iter().filter(is_in).collect();
            let rewritten = rewrite(&source, &those)?;
            write(&self.place.join(file), rewritten.text.as_bytes())?;
            self.refused.extend(&rewritten.refused);
            self.chosen.extend(rewritten.own.iter().map(|(_, id)| id));
            all.push(((*file).to_owned(), rewritten));
        }
        Ok(all)
    }

    /// Takes out the mutants that errors of the compiler are about: whether there are any.
    fn refuse(&mut self, written: &[(String, Rewritten)]) -> Result<bool> {
        let mut cargo = self.cargo(&[
            "check",
            "--lib",
            "-p",
            "microbatch",
            "--locked",
            "--message-format=json",
        ]);
        let outcome = run(&mut cargo)?;
        if outcome.is_ok {
            return Ok(false);
        }
        let before = self.refused.len() + self.alone.len();
        for message in messages(&outcome.text).filter(|message| message["message"]["level"] == "error") {
            let spans = message["message"]["spans"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            for span in spans.iter().filter(|span| span["is_primary"] == true) {
                let start = span["byte_start"]
                    .as_u64()
                    .and_then(|at| usize::try_from(at).ok());
                let rewritten = written.iter().find(|(name, _)| span["file_name"] == **name);
                let (Some(start), Some((_, rewritten))) = (start, rewritten) else {
                    continue;
                };
                let own = smallest(&rewritten.own, start);
                if own.is_empty() {
                    self.alone.extend(smallest(&rewritten.around, start));
                }
                self.refused.extend(own);
            }
        }
        let refused = self.refused.len() + self.alone.len() - before;
        println!("{refused} do not compile");
        if refused == 0 {
            return Err(format!("the mutated source does not compile:\n{}", outcome.text));
        }
        Ok(true)
    }

    /// cargo in the copy, with one build for all: quick to run, with every assertion.
    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new("cargo");
        cargo
            .env("RUSTFLAGS", "--cap-lints=warn")
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_TARGET_DIR", self.place.join("target"))
            .args(arguments)
            .arg("--manifest-path")
            .arg(self.place.join("Cargo.toml"));
        cargo
    }

    /// Builds suites: the name and the executable of each.
    ///
    /// # Errors
    /// What the compiler says.
    pub(crate) fn suites(&self, names: &[&str]) -> Result<Vec<(String, PathBuf)>> {
        let mut cargo = self.cargo(&[
            "test",
            "--no-run",
            "--locked",
            "-p",
            "microbatch",
            "--message-format=json",
            "--lib",
        ]);
        cargo.args(names.iter().flat_map(|name| ["--test", *name]));
        let outcome = run(&mut cargo)?;
        let text = outcome.text.clone();
        outcome.content("the suites")?;
        let built = messages(&text).filter_map(|message| {
            let name = message["target"]["name"].as_str()?.to_owned();
            let is_test = message["profile"]["test"] == true;
            let executable = message["executable"].as_str().filter(|_| is_test)?;
            Some((name, PathBuf::from(executable)))
        });
        Ok(built.collect())
    }
}

fn messages(text: &str) -> impl Iterator<Item = Value> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.filter_map(|line| serde_json::from_str(line).ok())
}

/// Whose ranges are the smallest around a place.
fn smallest(ranges: &[(Range<usize>, u32)], at: usize) -> Vec<u32> {
    let around = || ranges.iter().filter(|(range, _)| range.contains(&at));
    let Some(least) = around().map(|(range, _)| range.len()).min() else {
        return Vec::new();
    };
    around()
        .filter(|(range, _)| range.len() == least)
        .map(|(_, id)| *id)
        .collect()
}
