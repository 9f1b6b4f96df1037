//! Makes `bindings/c/exports.map`: which symbols a release exports, and under which version each.
//!
//! A function belongs to the version that its documentation names after `Since:`. Versions follow one another, so a
//! program that needs nothing newer than 0.1 says so to the loader, and one that does fails at start and not in a call.

use crate::book::of_function;
use crate::{Result, Section, root};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

/// Where the version script is.
pub fn exports_path() -> PathBuf {
    root().join("bindings/c/exports.map")
}

/// The functions that a release exports, by the version that brought them, in the order of the header.
pub fn versions(sections: &[Section]) -> Result<BTreeMap<(u32, u32), Vec<String>>> {
    let mut versions = BTreeMap::<_, Vec<_>>::new();
    for item in sections.iter().flat_map(|section| &section.items) {
        if let Some(function) = of_function(item) {
            let since =
                since(&item.docs.join(" ")).ok_or(format!("{} does not say since when", function.name))?;
            versions.entry(since).or_default().push(function.name.clone());
        }
    }
    Ok(versions)
}

/// `Since: 0.1.` in a function's documentation.
fn since(docs: &str) -> Option<(u32, u32)> {
    let (major, minor) = docs.split_once("Since: ")?.1.split_once('.')?;
    let minor = minor.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The linker's version script.
pub fn version_script(sections: &[Section]) -> Result<String> {
    let mut script = String::from(
        "/* Made from the header's \"Since\" lines: MICROBATCH_BLESS=1 cargo test -p microbatch-header */\n",
    );
    let mut before = None;
    for ((major, minor), functions) in versions(sections)? {
        let name = format!("MICROBATCH_{major}.{minor}");
        let _ = writeln!(script, "\n{name} {{\n    global:");
        for function in functions {
            let _ = writeln!(script, "        {function};");
        }
        let end = match before {
            None => "\n    local: *;\n};\n".to_owned(),
            Some(before) => format!("}} {before};\n"),
        };
        script.push_str(&end);
        before = Some(name);
    }
    Ok(script)
}
