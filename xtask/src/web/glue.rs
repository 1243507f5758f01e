//! JavaScript around the module: wasm-bindgen's work, done by its library, which must be of the very
//! version that the module was built with.

use std::path::Path;
use wasm_bindgen_cli_support::Bindgen;

/// Writes `signet.js` and `signet_bg.wasm` into `out`.
pub(crate) fn write(module: &Path, lock: &str, out: &Path) -> Result<(), String> {
    same_version(lock)?;
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name("signet").typescript(false).remove_name_section(true).remove_producers_section(true);
    bindgen.web(true).and_then(|bindgen| bindgen.generate(out)).map_err(|error| format!("wasm-bindgen on {}: {error:#}", module.display()))
}

/// Whether `Cargo.lock` has wasm-bindgen and its tool in one version.
fn same_version(lock: &str) -> Result<(), String> {
    let version = |name: &str| {
        let line = format!("name = \"{name}\"\n");
        let rest = &lock[lock.find(&line)? + line.len()..];
        rest.strip_prefix("version = \"")?.split('"').next()
    };
    let (used, tool) = (version("wasm-bindgen"), version("wasm-bindgen-cli-support"));
    match (used, tool) {
        (Some(used), Some(tool)) if used == tool => Ok(()),
        _ => Err(format!(
            "Cargo.lock has wasm-bindgen {} and wasm-bindgen-cli-support {}, which must be the same; write ={} in xtask/Cargo.toml and run cargo update -p wasm-bindgen-cli-support",
            used.unwrap_or("(none)"),
            tool.unwrap_or("(none)"),
            used.unwrap_or("VERSION")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::same_version;

    #[test]
    fn the_lock_file_has_one_version_of_wasm_bindgen() {
        same_version(include_str!("../../../Cargo.lock")).unwrap();
    }

    #[test]
    fn another_version_is_named() {
        let lock = |tool: &str| format!("name = \"wasm-bindgen\"\nversion = \"0.2.1\"\n\nname = \"wasm-bindgen-cli-support\"\nversion = \"{tool}\"\n");
        same_version(&lock("0.2.1")).unwrap();
        let error = same_version(&lock("0.2.2")).unwrap_err();
        assert!(error.contains("0.2.1") && error.contains("0.2.2") && error.contains("xtask/Cargo.toml"), "{error}");
        assert!(same_version("").unwrap_err().contains("(none)"));
    }
}
