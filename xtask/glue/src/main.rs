//! `glue MODULE OUT`: writes the JavaScript around the page's module, which is wasm-bindgen's work,
//! done by its library. A program of its own, because that library takes minutes to compile on a slow
//! machine, and only `cargo xtask web` needs it.

use std::path::Path;
use std::process::ExitCode;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [module, out] = arguments.as_slice() else {
        eprintln!("error: usage: glue MODULE OUT");
        return ExitCode::FAILURE;
    };
    match write(Path::new(module), Path::new(out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes `signet.js` and `signet_bg.wasm` into `out`.
fn write(module: &Path, out: &Path) -> Result<(), String> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name("signet").typescript(false).remove_name_section(true).remove_producers_section(true);
    bindgen.web(true).and_then(|bindgen| bindgen.generate(out)).map_err(|error| format!("wasm-bindgen on {}: {error:#}", module.display()))
}
