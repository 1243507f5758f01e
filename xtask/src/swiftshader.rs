//! SwiftShader, a third software adapter: unlike Mesa's two it has no f16, subgroups of 4, and a different
//! compiler, so it finds other bugs. Debian's `chromium-common` contains it as a Vulkan driver; two of the package's
//! files are unpacked, nothing is installed.

use crate::steps::{Outcome, shown};
use crate::system::found;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "chromium-common";
/// Paths of the driver and its manifest for the Vulkan loader in the package.
const FILES: [&str; 2] = ["usr/lib/chromium/libvk_swiftshader.so", "usr/lib/chromium/vk_swiftshader_icd.json"];
/// Folder of the driver in the target directory.
const FOLDER: &str = "swiftshader";

/// Unpacks the driver if needed; sets `driver` to the path of its manifest.
pub(crate) fn prepare(target: &Path, driver: &mut Option<PathBuf>) -> Outcome {
    let folder = target.join(FOLDER);
    for root in [Path::new("/"), &folder] {
        if FILES.iter().all(|file| root.join(file).is_file()) {
            let description = root.join(FILES[1]);
            let line = format!("{} is installed", description.display());
            *driver = Some(description);
            return Outcome::Passed(line);
        }
    }
    if !cfg!(target_os = "linux") || !["apt-get", "dpkg-deb", "tar"].iter().all(|program| found(program)) {
        return Outcome::Skipped("it is unpacked from a Debian package only: its adapter is not tested".into());
    }
    println!("unpacking SwiftShader from {PACKAGE} (32 MB to fetch, 5 MB kept)");
    match unpack(&folder) {
        Ok(()) => {
            *driver = Some(folder.join(FILES[1]));
            Outcome::Passed(format!("unpacked into {}", folder.display()))
        }
        Err(error) => Outcome::Skipped(format!("{error}: its adapter is not tested")),
    }
}

/// Downloads the package and unpacks the driver, in a temporary folder that is renamed to `folder` at the end.
fn unpack(folder: &Path) -> Result<(), String> {
    let beside = folder.with_extension("part");
    std::fs::remove_dir_all(&beside).ok();
    std::fs::create_dir_all(&beside).map_err(|error| format!("{}: {error}", beside.display()))?;
    let done = |what: &str, outcome| match outcome {
        Outcome::Passed(_) => Ok(()),
        _ => Err(format!("{what} failed, see above")),
    };
    let fetched = shown(Command::new("apt-get").args(["-qq", "download", PACKAGE]).current_dir(&beside));
    done(&format!("apt-get download {PACKAGE}"), fetched)?;
    let files = FILES.map(|file| format!("./{file}")).join(" ");
    let script = format!("dpkg-deb --fsys-tarfile {PACKAGE}_*.deb | tar -x {files} && rm {PACKAGE}_*.deb");
    done("unpacking it", shown(Command::new("sh").args(["-c", &script]).current_dir(&beside)))?;
    if let Some(missing) = FILES.iter().find(|file| !beside.join(file).is_file()) {
        return Err(format!("{PACKAGE} holds no {missing}"));
    }
    std::fs::rename(&beside, folder).map_err(|error| format!("{}: {error}", folder.display()))
}
