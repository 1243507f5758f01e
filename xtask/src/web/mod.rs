//! `cargo xtask web`: builds the page as static files in `web/dist`, for any host and path, and serves it locally.

mod files;
mod glue;
pub(crate) mod http;
pub(crate) mod server;
mod toolchain;

use crate::program::{root, target};
use crate::steps::Outcome;
use crate::system::found;
use crate::wrapper;
use server::{Server, Site};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
pub(crate) use toolchain::{TARGET, prepare};

/// rustc flags: random bytes from the browser, and SIMD instructions.
pub(crate) const FLAGS: &str = "--cfg getrandom_backend=\"wasm_js\" -C target-feature=+simd128";
/// The Cargo profile of the page.
const PROFILE: &str = "web";
/// Overrides of that profile for a quick build.
const QUICK: [&str; 3] = ["lto=\"off\"", "codegen-units=16", "package.signet.opt-level=1"];
/// Extensions of files in `web/` that are copied.
const STATIC: [&str; 6] = ["html", "css", "js", "webmanifest", "png", "svg"];
/// Files of `assets/` that the page fetches.
const ASSETS: [&str; 4] = ["student.signet", "teacher.signet", "tokenizer.json", "corpus.txt"];
/// The page's icon.
const ICON: &str = "icon.png";
/// The line of `sw.js` that a build replaces with the version.
const UNBUILT: &str = "const VERSION = 'unbuilt';";

/// The folder of the built page.
pub(crate) fn dist() -> PathBuf {
    root().join("web/dist")
}

/// Builds the page as a step of the tests.
pub(crate) fn step() -> Outcome {
    if let Err(why) = prepare() {
        return Outcome::Skipped(format!("the page is not built: {why}"));
    }
    match build(false) {
        Ok(sizes) => Outcome::Passed(sizes),
        Err(error) => Outcome::Failed(error),
    }
}

/// Starts compiling the page in the background of other steps: linking keeps one core busy for minutes. The
/// compiler's output goes to a file, which [`Compiling::wait`] prints. `None` if the page cannot be built.
pub(crate) fn begin() -> Option<Compiling> {
    prepare().ok()?;
    let path = target().join("page.log");
    let log = std::fs::File::create(&path).ok()?;
    let child = compile(false).stdout(log.try_clone().ok()?).stderr(log).spawn().ok()?;
    println!("compiling the page in the background; its output: {}", path.display());
    Some(Compiling { child, path })
}

/// The page's compilation in the background.
pub(crate) struct Compiling {
    child: Child,
    path: PathBuf,
}

impl Compiling {
    /// Waits for its end and prints its output. The build after it finds any error again.
    pub(crate) fn wait(mut self) {
        self.child.wait().ok();
        print!("{}", std::fs::read_to_string(&self.path).unwrap_or_default());
    }
}

impl Drop for Compiling {
    /// Ends it if it still runs, because the step that waits for it was skipped.
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Returns the command that compiles the page's module.
fn compile(quick: bool) -> Command {
    let mut cargo = toolchain::build();
    cargo.args(["--locked", "--package", "signet-app", "--bin", "signet-app", "--profile", PROFILE]);
    if quick {
        QUICK.iter().for_each(|setting| {
            cargo.args(["--config", &format!("profile.{PROFILE}.{setting}")]);
        });
        cargo.env("CARGO_INCREMENTAL", "1");
    }
    wrapper::without(&mut cargo).env("RUSTFLAGS", FLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS").current_dir(root());
    cargo
}

/// Builds `web/dist`; returns its sizes as a line.
pub(crate) fn build(quick: bool) -> Result<String, String> {
    prepare()?;
    println!("building for WebAssembly");
    if !compile(quick).status().is_ok_and(|status| status.success()) {
        return Err("signet could not be built for WebAssembly, see above".into());
    }
    assemble(&target().join(TARGET).join(PROFILE).join("signet-app.wasm"), &dist(), quick)
}

/// Serves `web/dist` until the process is ended.
pub(crate) fn serve(port: u16, under: &str) -> Result<(), String> {
    if !dist().join("index.html").is_file() {
        return Err("there is no web/dist to serve; build it first: cargo xtask web".into());
    }
    let server = Server::start(Site::new(under, &dist()), port)?;
    println!("{}  (Ctrl-C ends)", server.url());
    server.wait();
    Ok(())
}

/// Assembles the page in a temporary folder, then replaces `out`.
fn assemble(module: &Path, out: &Path, quick: bool) -> Result<String, String> {
    let part = out.with_extension("part");
    std::fs::remove_dir_all(&part).ok();
    let folder = |path: &Path| std::fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()));
    folder(&part.join("assets"))?;
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).map_err(|error| format!("Cargo.lock: {error}"))?;
    glue::write(module, &lock, &part)?;
    optimise(&part.join("signet_bg.wasm"))?;
    for name in ASSETS {
        copy(&root().join("assets").join(name), &part.join("assets").join(name))?;
    }
    copy(&root().join("assets").join(ICON), &part.join(ICON))?;
    let page = root().join("web");
    for entry in std::fs::read_dir(&page).map_err(|error| format!("{}: {error}", page.display()))?.filter_map(Result::ok) {
        let path = entry.path();
        if path.extension().is_some_and(|ending| STATIC.iter().any(|known| ending == *known)) {
            copy(&path, &part.join(entry.file_name()))?;
        }
    }
    let sizes = publish(&part, quick)?;
    std::fs::remove_dir_all(out).ok();
    std::fs::rename(&part, out).map_err(|error| format!("{}: {error}", out.display()))?;
    println!("{}", out.display());
    Ok(sizes)
}

/// Writes `files.json` and the version in `sw.js`; returns the sizes as a line.
pub(crate) fn publish(folder: &Path, quick: bool) -> Result<String, String> {
    let files = files::read(folder)?;
    let version = files::version(&files);
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"));
    let worker = std::fs::read_to_string(root().join("web/sw.js")).map_err(|error| format!("web/sw.js: {error}"))?;
    if !worker.contains(UNBUILT) {
        return Err(format!("web/sw.js has no line {UNBUILT:?}, where a build writes its version"));
    }
    write("sw.js", &worker.replace(UNBUILT, &format!("const VERSION = '{version}';")))?;
    write("files.json", &files::list(&files, &version))?;
    println!("version {version}");
    match files::weigh(&files) {
        // A quick build is not released, so it may exceed the budget.
        Err(over) if quick => Ok(over),
        weighed => weighed,
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    std::fs::copy(from, to).map(|_| ()).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}

/// Runs Binaryen's optimiser, if it is installed.
fn optimise(module: &Path) -> Result<(), String> {
    if !found("wasm-opt") {
        println!("wasm-opt is not on the PATH: the module stays as the compiler made it");
        return Ok(());
    }
    println!("wasm-opt -O3");
    // The module lists the features that it uses.
    let beside = module.with_extension("opt");
    let status = Command::new("wasm-opt").arg("-O3").arg(module).arg("-o").arg(&beside).status();
    if status.is_ok_and(|status| status.success()) {
        return std::fs::rename(&beside, module).map_err(|error| format!("{}: {error}", module.display()));
    }
    println!("wasm-opt failed: the module stays as the compiler made it");
    std::fs::remove_file(&beside).ok();
    Ok(())
}
