//! Checks the licence of every dependency, on all platforms and with all features, against a list of licences
//! that are compatible with distribution under MIT or Apache-2.0.

use crate::program::cargo;
use serde_json::Value;
use spdx::{Expression, ParseMode};

/// Allowed licences, alone or as one side of an OR; also with an exception.
const ALLOWED: [&str; 12] =
    ["MIT", "MIT-0", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "Unicode-3.0", "CC0-1.0", "0BSD", "BSL-1.0", "Unlicense"];

/// Licences allowed for one package: package, licence, reason.
const ONCE: [(&str, &str, &str); 5] = [
    ("epaint_default_fonts", "OFL-1.1", "fonts, which may be passed on within a program"),
    ("epaint_default_fonts", "Ubuntu-font-1.0", "a font, which may be passed on within a program"),
    ("webpki-roots", "CDLA-Permissive-2.0", "the certificates that a browser trusts: data, which may be passed on with this licence's text"),
    ("option-ext", "MPL-2.0", "finds the person's own folder for hf-hub: unchanged, which the licence allows in a program under any other"),
    ("colored", "MPL-2.0", "compares pictures in tests, and is no part of the program"),
];

/// Checks all packages and returns their number. The error lists those that are not allowed.
pub(crate) fn check() -> Result<usize, String> {
    let packages = [packages("Cargo.toml")?, packages("xtask/Cargo.toml")?].concat();
    let refused: Vec<String> = packages
        .iter()
        .filter_map(|package| {
            let problem = check_licence(package["name"].as_str()?, package["license"].as_str()).err()?;
            Some(format!("{} {}: {problem}", package["name"].as_str()?, package["version"].as_str()?))
        })
        .collect();
    if refused.is_empty() { Ok(packages.len()) } else { Err(format!("these licences are not allowed:\n{}", refused.join("\n"))) }
}

/// Returns all packages that the workspace of a manifest depends on.
fn packages(manifest: &str) -> Result<Vec<Value>, String> {
    let output = cargo("metadata --format-version 1 --locked --all-features --manifest-path").arg(manifest).output();
    let output = output.map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let mut metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    match metadata["packages"].take() {
        Value::Array(packages) => Ok(packages),
        _ => Err("cargo metadata lists no packages".into()),
    }
}

/// Checks the licence expression of a package.
fn check_licence(name: &str, licence: Option<&str>) -> Result<(), String> {
    let text = licence.ok_or("it names no licence; read its licence file, and use another package if in doubt")?;
    // LAX, because older packages write `MIT/Apache-2.0`.
    let expression = Expression::parse_mode(text, ParseMode::LAX).map_err(|error| format!("{text:?} is not an SPDX expression: {}", error.reason))?;
    let allowed = expression.evaluate(|request| {
        request.license.id().is_some_and(|id| ALLOWED.contains(&id.name) || ONCE.iter().any(|(package, licence, _)| *package == name && *licence == id.name))
    });
    if allowed { Ok(()) } else { Err(format!("{text} is not on the list in xtask/src/licences.rs")) }
}

#[cfg(test)]
mod tests {
    use super::check_licence;

    #[test]
    fn either_side_of_an_or_and_both_of_an_and_must_be_allowed() {
        for good in ["MIT", "MIT/Apache-2.0", "Apache-2.0 WITH LLVM-exception", "MIT OR LGPL-2.1-or-later", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
            assert_eq!(check_licence("one", Some(good)), Ok(()), "{good}");
        }
        for bad in ["GPL-3.0-only", "MPL-2.0", "MIT AND MPL-2.0", "(MIT OR Apache-2.0) AND AGPL-3.0-only", "as you like"] {
            assert!(check_licence("one", Some(bad)).is_err_and(|problem| problem.contains(bad)), "{bad}");
        }
        assert!(check_licence("one", None).is_err());
        assert_eq!(check_licence("colored", Some("MPL-2.0")), Ok(()));
    }
}
