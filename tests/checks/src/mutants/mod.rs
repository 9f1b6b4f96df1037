//! Mutants of the engine and the boundary, hundreds a minute: all of them are compiled into one build, each process
//! chooses one, and only the tests that come by it are run, those first that found most for their time.
//!
//! What cannot be chosen at run time (constants and what the compiler evaluates) is named, for cargo-mutants to build.

mod list;
mod play;
mod schemata;
mod tree;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::tool::{Result, run, target, write_script};
use list::{Mutant, list};
use play::{End, Place, Test, play};
use tree::Tree;

/// What sees the engine and the boundary. What takes minutes is not here.
const SUITES: [&str; 12] = [
    "conformance",
    "batches",
    "results",
    "values",
    "flow",
    "seeing",
    "regressions",
    "histories",
    "hosts",
    "memory",
    "corpus",
    "c",
];

/// Tests that look at other tests, and one that finds values where optimised code of its own left them.
const LEFT_OUT: [&str; 5] = ["twin", "find", "awake", "the_traces_are", "the_very_address"];

/// The files that have mutants.
const FILES: [&str; 2] = ["src/engine/**/*.rs", "src/ffi/**/*.rs"];

/// The first words about a mutant that not every test was asked about.
const SO_FAR: &str = "Lived so far";

/// What the tests of a mutant take together when it is asked quickly, in ticks of 5 ms.
const QUICK_TICKS: u32 = 1200;

/// A test that takes longer than this is run against no mutant, in ticks of 5 ms.
const MOST_TICKS: u32 = 6000;

/// Mutants of some files, or of all: part `part` of `parts`, a sample of each file. What was found is kept in
/// `target/checks/mutants/found` and not asked again until that file is removed. Quickly, a mutant has some seconds, and
/// one that lives through them is asked anew when there is time.
///
/// # Errors
/// No cargo-mutants, or a project that does not pass without mutants.
pub fn mutants(files: &[&str], part: usize, parts: usize, is_quick: bool) -> Result {
    let mutants = list(if files.is_empty() { &FILES } else { files })?;
    let place = target("mutants");
    let tree = Tree::make(place.join("tree"), &mutants)?;
    let suites = tree.suites(&SUITES)?;
    let place = Place {
        directory: tree.place.clone(),
        compilers: compilers(&place)?,
    };
    let tests = tests(&place, &suites, mutants.len())?;
    let kept = target("mutants").join("found");
    let mut said = said(&kept);
    let mut seen = Seen::default();
    for mutant in &mutants {
        let is_known = said
            .get(&mutant.name)
            .is_some_and(|said| is_quick || !said.starts_with(SO_FAR));
        if mutant.id as usize % parts != part || is_known {
            continue;
        }
        let verdict = if tree.refused.contains(&mutant.id) {
            "refused".to_owned()
        } else if tree.chosen.contains(&mutant.id) {
            seen.judge(&place, &tests, mutant, is_quick)?
        } else {
            "alone".to_owned()
        };
        println!("{}: {verdict}", mutant.name);
        keep(&kept, &mutant.name, &verdict)?;
        said.insert(mutant.name.clone(), verdict);
    }
    println!("{}", table(&mutants, &said));
    Ok(())
}

/// Compilers that compile the same thing once: the library stays as it is.
fn compilers(place: &Path) -> Result<[(&'static str, PathBuf); 2]> {
    let compiled = place.join("compiled");
    fs::create_dir_all(&compiled).map_err(|error| error.to_string())?;
    let mut made = [("CC", PathBuf::new()), ("CXX", PathBuf::new())];
    for ((_, path), compiler) in made.iter_mut().zip(["cc", "c++"]) {
        let kept = compiled.display();
        let script = format!(
            "#!/bin/sh\n\
             out=; last=\n\
             for word; do [ \"$last\" = -o ] && out=$word; last=$word; done\n\
             [ -n \"$out\" ] || exec {compiler} \"$@\"\n\
             kept={kept}/$(printf '%s\\n' \"$@\" | sha256sum | cut -c1-32)\n\
             [ -f \"$kept\" ] && exec cp \"$kept\" \"$out\"\n\
             {compiler} \"$@\" && cp \"$out\" \"$kept\"\n"
        );
        *path = place.join(compiler);
        write_script(path, &script)?;
    }
    Ok(made)
}

/// Every test that passes without a mutant, with what it took and the mutants it came by.
fn tests(place: &Place, suites: &[(String, PathBuf)], mutants: usize) -> Result<Vec<Test>> {
    let kept = target("mutants").join("measured");
    if let Some(tests) = measured(&kept, suites, mutants) {
        return Ok(tests);
    }
    let compiled = target("mutants").join("compiled");
    let _ = fs::remove_dir_all(&compiled);
    fs::create_dir_all(&compiled).map_err(|error| error.to_string())?;
    let reached = target("mutants").join("reached");
    let mut tests = Vec::new();
    for (suite, executable) in suites {
        let outcome = run(Command::new(executable).args(["--list", "--format=terse"]))?;
        let names = outcome
            .text
            .lines()
            .filter_map(|line| line.strip_suffix(": test"));
        for name in names.filter(|name| !LEFT_OUT.iter().any(|part| name.contains(part))) {
            let mut test = Test {
                suite: suite.clone(),
                executable: executable.clone(),
                name: name.to_owned(),
                ticks: 0,
                work: 0,
                idle: 0,
                reached: Vec::new(),
            };
            // What is compiled is compiled now, and what it takes is measured then.
            for _ in 0..2 {
                fs::write(&reached, vec![0; mutants + 1]).map_err(|error| error.to_string())?;
                let played = play(place, &test, "MICROBATCH_REACHED", &reached, false)?;
                (test.ticks, test.work) = (played.ticks, played.work);
                test.idle = test.idle.max(played.idle);
                if played.end != End::Passed || played.ticks > MOST_TICKS {
                    println!(
                        "{suite} {name} is left out: {:?}, {} ticks",
                        played.end, played.ticks
                    );
                    test.ticks = u32::MAX;
                    break;
                }
            }
            test.reached = fs::read(&reached).map_err(|error| error.to_string())?;
            if test.ticks <= MOST_TICKS {
                tests.push(test);
            }
        }
    }
    println!("{} tests", tests.len());
    let rows: Vec<Value> = tests
        .iter()
        .map(|test| {
            let reached = (0..=mutants).filter(|id| test.reached[*id] != 0);
            json!({
                "suite": test.suite, "executable": test.executable, "name": test.name, "ticks": test.ticks,
                "work": test.work, "idle": test.idle, "reached": reached.collect::<Vec<_>>(),
            })
        })
        .collect();
    fs::write(&kept, json!(rows).to_string()).map_err(|error| error.to_string())?;
    Ok(tests)
}

/// What was measured before, if it was with these very suites.
fn measured(kept: &Path, suites: &[(String, PathBuf)], mutants: usize) -> Option<Vec<Test>> {
    let made = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    let at = made(kept)?;
    if !suites
        .iter()
        .all(|(_, path)| made(path).is_some_and(|built| built < at))
    {
        return None;
    }
    let rows: Vec<Value> = serde_json::from_str(&fs::read_to_string(kept).ok()?).ok()?;
    rows.iter()
        .map(|row| {
            let number = |name: &str| row[name].as_u64();
            let mut reached = vec![0; mutants + 1];
            for id in row["reached"].as_array()? {
                *reached.get_mut(usize::try_from(id.as_u64()?).ok()?)? = 1;
            }
            Some(Test {
                suite: row["suite"].as_str()?.to_owned(),
                executable: row["executable"].as_str()?.into(),
                name: row["name"].as_str()?.to_owned(),
                ticks: number("ticks")?.try_into().ok()?,
                work: number("work")?,
                idle: number("idle")?.try_into().ok()?,
                reached,
            })
        })
        .collect()
}

/// How often tests found mutants that they came by: of each file, and of any.
#[derive(Default)]
struct Seen {
    of_file: HashMap<(String, usize), [u32; 2]>,
    of_any: HashMap<usize, [u32; 2]>,
}

impl Seen {
    /// How likely a test finds a mutant of a file.
    fn chance(&self, file: &str, at: usize) -> f64 {
        let [found, asked] = self.of_any.get(&at).copied().unwrap_or_default().map(f64::from);
        let before = (found + 0.5) / (asked + 2.0);
        let of_file = self.of_file.get(&(file.to_owned(), at));
        let [found, asked] = of_file.copied().unwrap_or_default().map(f64::from);
        (found + 2.0 * before) / (asked + 2.0)
    }

    /// Runs the tests that come by a mutant until one finds it, those first that find most for their time.
    fn judge(&mut self, place: &Place, tests: &[Test], mutant: &Mutant, is_quick: bool) -> Result<String> {
        let id = mutant.id as usize;
        let mut those: Vec<usize> = (0..tests.len())
            .filter(|at| tests[*at].reached[id] != 0)
            .collect();
        if those.is_empty() {
            return Ok("unreached".to_owned());
        }
        let cost = |at: usize| f64::from(tests[at].ticks + 10) / self.chance(&mutant.file, at);
        those.sort_by(|one, other| cost(*one).total_cmp(&cost(*other)));
        let count = those.len();
        let mut ticks = 0;
        for (before, at) in those.into_iter().enumerate() {
            let test = &tests[at];
            if is_quick && ticks + test.ticks > QUICK_TICKS {
                return Ok(format!("{SO_FAR} through {before} of {count} tests"));
            }
            let value = PathBuf::from(mutant.id.to_string());
            let played = play(place, test, "MICROBATCH_MUTANT", &value, true)?;
            ticks += test.ticks;
            let is_found = played.end != End::Passed;
            let counts = [
                self.of_file.entry((mutant.file.clone(), at)).or_default(),
                self.of_any.entry(at).or_default(),
            ];
            for [found, asked] in counts {
                *found += u32::from(is_found);
                *asked += 1;
            }
            if is_found {
                let (end, suite, name) = (played.end, &test.suite, &test.name);
                return Ok(format!(
                    "{end:?} by {suite} {name} after {before} others, {ticks} ticks"
                ));
            }
        }
        Ok(format!("LIVED through {count} tests, {ticks} ticks"))
    }
}

/// What earlier runs found.
fn said(kept: &Path) -> HashMap<String, String> {
    let text = fs::read_to_string(kept).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    lines
        .map(|(name, verdict)| (name.to_owned(), verdict.to_owned()))
        .collect()
}

fn keep(kept: &Path, name: &str, verdict: &str) -> Result {
    let file = fs::OpenOptions::new().create(true).append(true).open(kept);
    let told = |error: std::io::Error| format!("{}: {error}", kept.display());
    writeln!(file.map_err(told)?, "{name}\t{verdict}").map_err(told)
}

/// How many of each file's mutants were found, and the names of those that were not.
fn table(mutants: &[Mutant], said: &HashMap<String, String>) -> String {
    let mut rows: BTreeMap<&str, [usize; 6]> = BTreeMap::new();
    let mut lived = String::new();
    let names: HashSet<&str> = mutants.iter().map(|mutant| mutant.name.as_str()).collect();
    for mutant in mutants {
        let Some(verdict) = said.get(&mutant.name) else {
            continue;
        };
        let column = match verdict.split(' ').next().unwrap_or_default() {
            "Failed" => 0,
            "Hung" => 1,
            "LIVED" | "Lived" => 2,
            "unreached" => 3,
            "alone" => 4,
            _ => 5,
        };
        for file in [mutant.file.as_str(), "all"] {
            rows.entry(file).or_default()[column] += 1;
        }
        if (2..5).contains(&column) {
            let _ = writeln!(lived, "{}: {verdict}", mutant.name);
        }
    }
    let mut text = format!(
        "{lived}\n{} mutants\nfile: failed hung lived unreached alone refused\n",
        names.len()
    );
    for (file, counts) in rows {
        let counts: Vec<String> = counts.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "{file}: {}", counts.join(" "));
    }
    text
}
