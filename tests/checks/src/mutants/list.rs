//! The mutants there are, as cargo-mutants lists them.

use std::process::Command;

use serde_json::Value;

use crate::tool::{Result, run};

/// What is changed.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Genre {
    /// A function returns at once.
    FnValue,
    /// An operator between operands becomes another.
    Binary,
    /// An operator before an operand goes.
    Unary,
    /// An arm of a match goes.
    Arm,
    /// The condition of an arm is true or false.
    Guard,
    /// A field of a struct is not given.
    Field,
}

/// One change of one place.
#[derive(Clone, Debug)]
pub(crate) struct Mutant {
    /// From 1, by which it is chosen.
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) genre: Genre,
    pub(crate) replacement: String,
    /// Line and column, from 1.
    pub(crate) start: (usize, usize),
}

/// The mutants of these files, in an order that mixes them and is the same each time.
///
/// # Errors
/// No cargo-mutants.
pub(crate) fn list(files: &[&str]) -> Result<Vec<Mutant>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["mutants", "--list", "--json"]);
    for file in files {
        cargo.args(["--file", file]);
    }
    let outcome = run(&mut cargo)?;
    let text = outcome.text.clone();
    outcome.content("cargo mutants --list (cargo install cargo-mutants)")?;
    let rows: Vec<Value> = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let mut mutants: Vec<Mutant> = rows.iter().filter_map(mutant).collect();
    mutants.sort_by_key(|mutant| (mixed(&mutant.name), mutant.name.clone()));
    for (id, mutant) in (1..).zip(&mut mutants) {
        mutant.id = id;
    }
    Ok(mutants)
}

fn mutant(row: &Value) -> Option<Mutant> {
    let text = |name: &str| row[name].as_str().map(str::to_owned);
    let start = &row["span"]["start"];
    let number = |name: &str| {
        start[name]
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
    };
    Some(Mutant {
        id: 0,
        name: text("name")?,
        file: text("file")?,
        genre: match text("genre")?.as_str() {
            "FnValue" => Genre::FnValue,
            "BinaryOperator" => Genre::Binary,
            "UnaryOperator" => Genre::Unary,
            "MatchArm" => Genre::Arm,
            "MatchArmGuard" => Genre::Guard,
            _ => Genre::Field,
        },
        replacement: text("replacement")?,
        start: (number("line")?, number("column")?),
    })
}

/// FNV-1a, once more than over the text so that names that end alike lie apart.
fn mixed(name: &str) -> u64 {
    let bytes = name.bytes().chain(*b"microbatch");
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
