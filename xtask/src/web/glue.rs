//! JavaScript around the module: the work of `xtask/glue`, which must have wasm-bindgen's library in
//! the very version that the module was built with.

use crate::program::cargo;
use std::path::Path;

/// The lock file of `xtask/glue` and this command.
const OURS: &str = include_str!("../../Cargo.lock");

/// Writes `signet.js` and `signet_bg.wasm` into `out`; `lock` is the lock file that the module was built with.
pub(crate) fn write(module: &Path, lock: &str, out: &Path) -> Result<(), String> {
    same_version(lock, OURS)?;
    let mut glue = cargo("run --locked --quiet --manifest-path xtask/Cargo.toml --package glue --");
    match glue.arg(module).arg(out).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("xtask/glue: {status}, see above")),
        Err(error) => Err(format!("{}: {error}", glue.get_program().display())),
    }
}

/// Checks that the program's lock file has wasm-bindgen in the version that `ours` has of its tool.
fn same_version(lock: &str, ours: &str) -> Result<(), String> {
    let (used, tool) = (version(lock, "wasm-bindgen"), version(ours, "wasm-bindgen-cli-support"));
    match (used, tool) {
        (Some(used), Some(tool)) if used == tool => Ok(()),
        _ => Err(format!(
            "Cargo.lock has wasm-bindgen {}, and xtask/Cargo.lock wasm-bindgen-cli-support {}, which must be the same; write ={} in xtask/glue/Cargo.toml and run cargo update --manifest-path xtask/Cargo.toml -p wasm-bindgen-cli-support",
            used.unwrap_or("(none)"),
            tool.unwrap_or("(none)"),
            used.unwrap_or("VERSION")
        )),
    }
}

/// The version that a lock file has of a package.
fn version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let line = format!("name = \"{name}\"\n");
    let rest = &lock[lock.find(&line)? + line.len()..];
    rest.strip_prefix("version = \"")?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::{OURS, same_version};

    #[test]
    fn the_lock_files_have_one_version_of_wasm_bindgen() {
        same_version(include_str!("../../../Cargo.lock"), OURS).unwrap();
    }

    #[test]
    fn another_version_is_named() {
        let lock = "name = \"wasm-bindgen\"\nversion = \"0.2.1\"\n";
        let ours = |version: &str| format!("name = \"wasm-bindgen-cli-support\"\nversion = \"{version}\"\n");
        same_version(lock, &ours("0.2.1")).unwrap();
        let error = same_version(lock, &ours("0.2.2")).unwrap_err();
        assert!(error.contains("0.2.1") && error.contains("0.2.2") && error.contains("xtask/glue/Cargo.toml"), "{error}");
        assert!(same_version("", &ours("0.2.1")).unwrap_err().contains("(none)"));
    }
}
