//! The nightly compiler, found or fetched by rustup.

use std::process::Command;
use std::sync::OnceLock;

use crate::tool::{Result, root, run};

const FILE: &str = "tests/fuzz/rust-toolchain.toml";

/// The values in quotes of one line of the file.
fn quoted(key: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root().join(FILE)).map_err(|error| format!("{FILE}: {error}"))?;
    let line = text.lines().find(|line| line.starts_with(key));
    let line = line.ok_or_else(|| format!("{FILE} says no {key}"))?;
    Ok(line.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Its name, for example `nightly-2026-05-20`; installed when this returns.
///
/// # Errors
/// rustup is not there, or cannot get it.
pub fn channel() -> Result<String> {
    static FOUND: OnceLock<Result<String>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Result<String> {
    let channel = quoted("channel")?.concat();
    let components = quoted("components")?;
    let mut install = Command::new("rustup");
    // Does nothing where all of it is there.
    install.args([
        "toolchain",
        "install",
        &channel,
        "--profile",
        "minimal",
        "--no-self-update",
    ]);
    install.args(["--component", &components.join(",")]);
    let has_all = || {
        let mut list = Command::new("rustup");
        list.args(["component", "list", "--installed", "--toolchain", &channel]);
        run(&mut list).is_ok_and(|listed| {
            let names = |component: &String| listed.text.contains(component.as_str());
            listed.is_ok && components.iter().all(names)
        })
    };
    if !has_all() {
        run(&mut install)
            .map_err(|error| format!("{error}; rustup.rs says how to install it"))?
            .content(
                "rustup cannot install the nightly compiler that tests/fuzz/rust-toolchain.toml names",
            )?;
    }
    Ok(channel)
}

/// `cargo` of that compiler.
///
/// # Errors
/// As [`channel`].
pub fn cargo() -> Result<Command> {
    let channel = channel()?;
    let mut cargo = Command::new("rustup");
    cargo.args(["run", &channel, "cargo"]);
    Ok(cargo)
}
