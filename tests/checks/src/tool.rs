//! Running a tool and telling what came of it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What can go wrong, in words.
pub type Result<T = ()> = std::result::Result<T, String>;

/// The root of the project.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// A place of its own in the target directory: builds with other flags would throw each other away.
pub fn target(name: &str) -> PathBuf {
    root().join("target/checks").join(name)
}

/// What a tool printed, and whether it was content.
pub struct Outcome {
    /// It ended with 0.
    pub is_ok: bool,
    /// Both of its streams.
    pub text: String,
}

impl Outcome {
    /// Nothing, if the tool was content; else what it said.
    ///
    /// # Errors
    /// What it said.
    pub fn content(self, what: &str) -> Result {
        if self.is_ok {
            Ok(())
        } else {
            Err(format!("{what}:\n{}", self.text))
        }
    }

    /// Whether the tool complained in these words, as it must about what is wrong on purpose.
    ///
    /// # Errors
    /// What it said instead.
    pub fn complains(self, words: &str, what: &str) -> Result {
        if !self.is_ok && self.text.contains(words) {
            Ok(())
        } else {
            Err(format!("{what} does not report {words:?}:\n{}", self.text))
        }
    }
}

/// Runs a command in the project's root, without the environment that cargo gave this process.
///
/// # Errors
/// The program does not start.
pub fn run(command: &mut Command) -> Result<Outcome> {
    let inherited = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        let cargos = [
            "CARGO",
            "RUSTC",
            "RUSTFLAGS",
            "RUSTDOC",
            "RUSTUP_TOOLCHAIN",
            "LD_LIBRARY_PATH",
        ];
        cargos.iter().any(|cargo| name.starts_with(cargo)) && name != "CARGO_HOME"
    });
    for name in inherited.collect::<Vec<_>>() {
        let is_set_here = command
            .get_envs()
            .any(|(set, value)| set == name && value.is_some());
        if !is_set_here {
            command.env_remove(name);
        }
    }
    command.current_dir(root()).stdin(Stdio::null());
    let output = command
        .output()
        .map_err(|error| format!("{:?} does not start: {error}", command.get_program()))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(Outcome {
        is_ok: output.status.success(),
        text,
    })
}

/// Writes a program for the shell.
///
/// # Errors
/// It cannot be written.
pub fn write_script(path: &Path, text: &str) -> Result {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    std::fs::create_dir_all(path.parent().unwrap_or(path)).map_err(told)?;
    std::fs::write(path, text).map_err(told)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(told)
}

/// Whether a program is installed.
pub fn is_there(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
