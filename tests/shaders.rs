//! Compiles all expanded shaders with the WGSL compilers on the PATH: `naga`, and Chrome's `tint`. The build has already
//! validated them with the naga library.

use signet::device::{KERNELS, Kernel};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

/// The errors of a compiler for a file; `None` if it is not installed.
fn complaint(compiler: &str, arguments: &[&str], file: &Path) -> Option<Result<(), String>> {
    let output = match Command::new(compiler).args(arguments).arg(file).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        other => other.unwrap_or_else(|error| panic!("{compiler}: {error}")),
    };
    let printed = || format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Some(if output.status.success() { Ok(()) } else { Err(printed()) })
}

#[test]
fn other_compilers_accept_every_shader() {
    let folder = std::env::temp_dir().join(format!("signet-shaders-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("shader.wgsl");
    let units: BTreeMap<&str, &Kernel> = KERNELS.iter().map(|kernel| (kernel.unit, kernel)).collect();
    let mut problems = Vec::new();
    for (compiler, arguments) in [("naga", &[][..]), ("tint", &["--format", "wgsl"])] {
        std::fs::write(&file, "fn broken( {").unwrap();
        match complaint(compiler, arguments, &file) {
            None => {
                println!("{compiler} is not on the PATH");
                continue;
            }
            Some(Ok(())) => problems.push(format!("{compiler} accepts what is no WGSL")),
            Some(Err(_)) => {}
        }
        for (unit, kernel) in &units {
            // naga always allows subgroups, tint only if enabled; cooperative matrices exist in naga only.
            let asks = compiler == "tint" && kernel.features.contains(wgpu::Features::SUBGROUP);
            if compiler == "tint" && kernel.cooperative.is_some() {
                continue;
            }
            std::fs::write(&file, format!("{}{}", if asks { "enable subgroups;\n" } else { "" }, kernel.source)).unwrap();
            if let Some(Err(printed)) = complaint(compiler, arguments, &file) {
                problems.push(format!("{compiler}, {unit}: {printed}"));
            }
        }
        println!("{compiler}: {} shaders", units.len());
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
