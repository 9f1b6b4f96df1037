//! Makes `include/microbatch.h` from `src/ffi`: declarations by cbindgen, put into the order and the form of a book.
//!
//! The public modules of `src/ffi/mod.rs` are the sections, in their order. The module text is the section's
//! introduction, and its items follow: constants, types, functions, each with its doc comment. cbindgen reads one module
//! at a time and knows the Rust types; this crate turns its output into C89: comments, parentheses, and the function
//! table, whose members are typed after the functions themselves.
//!
//! To write the header anew: `MICROBATCH_BLESS=1 cargo test -p microbatch-header`.

pub mod book;
pub mod declarations;
pub mod exports;

use declarations::{Item, parse};
use std::fs;
use std::path::{Path, PathBuf};

/// What can go wrong, in words.
pub type Result<T> = std::result::Result<T, String>;

/// The root of the project.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where the header is.
pub fn header_path() -> PathBuf {
    root().join("include/microbatch.h")
}

/// One section of the header: a module of `src/ffi`.
pub struct Section {
    /// The module's name.
    pub module: String,
    /// The first line of its text.
    pub title: String,
    /// The rest of its text, line by line.
    pub introduction: Vec<String>,
    /// What it declares.
    pub items: Vec<Item>,
}

/// All sections.
pub fn sections(root: &Path) -> Result<Vec<Section>> {
    let modules = read(&root.join("src/ffi/mod.rs"))?;
    let names = modules
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    names.map(|name| section(root, name)).collect()
}

fn section(root: &Path, module: &str) -> Result<Section> {
    let path = root.join(format!("src/ffi/{module}.rs"));
    let source = read(&path)?;
    let mut text = source.lines().map_while(|line| line.strip_prefix("//!"));
    let title = text.next().unwrap_or_default().trim().to_owned();
    let introduction = without_fences(text.map(|line| line.strip_prefix(' ').unwrap_or(line)));
    let items = parse(&declared(root, &path, &source)?, &source)?;
    Ok(Section {
        module: module.to_owned(),
        title,
        introduction,
        items,
    })
}

/// Text in which code is set off by four spaces instead of Rust's fences.
fn without_fences<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut fenced = false;
    let mut plain = Vec::new();
    for line in lines {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced && !line.is_empty() {
            plain.push(format!("    {line}"));
        } else {
            plain.push(line.to_owned());
        }
    }
    plain
}

/// What cbindgen makes of one module.
fn declared(root: &Path, path: &Path, source: &str) -> Result<String> {
    let mut config = config(root)?;
    config.header = None;
    // cbindgen leaves out what no function of the same file uses.
    let types = source.lines().filter_map(|line| {
        let rest = ["pub struct ", "pub union ", "pub type "]
            .iter()
            .find_map(|start| line.strip_prefix(start))?;
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
    });
    config.export.include.extend(types.map(str::to_owned));
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(path)
        .generate();
    let mut output = Vec::new();
    bindings
        .map_err(|error| format!("cbindgen cannot read {}: {error}", path.display()))?
        .write(&mut output);
    String::from_utf8(output).map_err(|error| error.to_string())
}

fn config(root: &Path) -> Result<cbindgen::Config> {
    cbindgen::Config::from_file(root.join("cbindgen.toml")).map_err(|error| format!("cbindgen.toml: {error}"))
}

/// The whole header.
pub fn generate(root: &Path) -> Result<String> {
    let opening = config(root)?
        .header
        .ok_or("cbindgen.toml has no header, which is the opening page")?;
    Ok(book::write(&opening, &sections(root)?))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
