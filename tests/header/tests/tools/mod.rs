//! Tools that tests run.

use std::env;
use std::process::Command;

/// Whether a tool is there. Without one the test says so and passes, except in CI.
pub(crate) fn have(tool: &str, package: &str, without: &str) -> bool {
    if Command::new(tool)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return true;
    }
    let cure = format!("{tool} is missing, so {without}: apt-get install {package}");
    assert!(env::var_os("CI").is_none(), "{cure}");
    eprintln!("IGNORED: {cure}");
    false
}

/// Runs a tool that must succeed and say nothing on its standard error. Answers what it prints.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}\n{words}");
    assert!(words.is_empty(), "{command:?} is not silent\n{words}");
    String::from_utf8(output.stdout).unwrap()
}
