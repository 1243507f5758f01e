//! Packs the program and its scripts into an archive for a machine with a GPU: `signet report` measures it.

use crate::program::{cargo, root, target};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Name of the folder in the archive.
const FOLDER: &str = "signet-card";
/// Scripts beside the program: for a Unix shell, and for Windows.
const SCRIPTS: [(&str, &str); 2] = [("report.sh", include_str!("report.sh")), ("report.cmd", include_str!("report.cmd"))];
/// Documents beside it: how to make the report, and the licences.
const DOCUMENTS: [(&str, &str); 3] = [("docs/report.md", "README.md"), ("LICENSE-MIT", "LICENSE-MIT"), ("LICENSE-APACHE", "LICENSE-APACHE")];

/// Builds the stripped program, for another target if one is given, and packs it. Returns a line with the archive's path.
pub(crate) fn build(triple: Option<&str>) -> Result<String, String> {
    let mut command = cargo("rustc --release --locked --package signet-cli --bin signet");
    if let Some(triple) = triple {
        command.args(["--target", triple]);
    }
    // Only of this program, so that the libraries of other release builds serve.
    let built = command.args(["--", "-C", "strip=symbols"]).status();
    if !built.is_ok_and(|status| status.success()) {
        return Err("signet could not be built, see above".into());
    }
    let windows = triple.map_or(cfg!(windows), |triple| triple.contains("windows"));
    let name = if windows { "signet.exe" } else { "signet" };
    let program = triple.map_or_else(target, |triple| target().join(triple)).join("release").join(name);
    let archive = pack(&program, &target().join("card"), triple.unwrap_or("this system"))?;
    let bytes = fs::metadata(&archive).map_or(0, |file| file.len());
    Ok(format!("{}: {:.1} MB. Unpack it on the machine, and run report.sh or report.cmd", archive.display(), bytes as f64 / 1e6))
}

/// Copies program, scripts and documents into a folder below `out` and packs it; returns the archive's path.
fn pack(program: &Path, out: &Path, system: &str) -> Result<PathBuf, String> {
    let folder = out.join(FOLDER);
    // An earlier one, maybe with a program for another system.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let name = program.file_name().expect("it is a file");
    copy(program, &folder.join(name))?;
    for (from, to) in DOCUMENTS {
        copy(&root().join(from), &folder.join(to))?;
    }
    for (name, text) in SCRIPTS {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        make_executable(&path)?;
    }
    let archive = out.join(format!("{FOLDER}-{}.tar.gz", system.replace(' ', "-")));
    let packed = Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(out).arg(FOLDER).status();
    match packed {
        Ok(status) if status.success() => Ok(archive),
        Ok(status) => Err(format!("tar cannot pack {}: {status}", folder.display())),
        Err(error) => Err(format!("cannot start tar, which packs {}: {error}", folder.display())),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to).map(drop).map_err(|error| format!("cannot copy {} to {}: {error}", from.display(), to.display()))
}

fn make_executable(path: &Path) -> Result<(), String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(|error| format!("cannot make {} executable: {error}", path.display()))?;
    }
    let _ = path;
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_archive_has_a_script_that_runs_the_program() {
        let out = std::env::temp_dir().join(format!("signet-card-{}", std::process::id()));
        fs::create_dir_all(&out).unwrap();
        let program = out.join("signet");
        fs::write(&program, "#!/bin/sh\necho \"ran: $*\"\n").unwrap();
        make_executable(&program).unwrap();
        let archive = pack(&program, &out, "this system").unwrap();
        let there = out.join("there with spaces");
        fs::create_dir_all(&there).unwrap();
        let unpacked = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&there).status().unwrap();
        assert!(unpacked.success());
        let output = Command::new(there.join(FOLDER).join("report.sh")).args(["--device", "a card"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "ran: report --device a card\n");
        for name in ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "report.cmd"] {
            assert!(there.join(FOLDER).join(name).is_file(), "{name}");
        }
        fs::remove_dir_all(&out).unwrap();
    }
}
