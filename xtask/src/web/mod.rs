//! `cargo xtask web`: the page as a folder of static files, `web/dist`, which any host can serve from
//! any path, and a server for trying it.

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
use toolchain::TARGET;
pub(crate) use toolchain::prepare;

/// What the code needs: random bytes from the browser, and its vector instructions.
const FLAGS: &str = "--cfg getrandom_backend=\"wasm_js\" -C target-feature=+simd128";
/// The profile of `Cargo.toml` that it is built with.
const PROFILE: &str = "web";
/// What is otherwise in that profile for a build that is soon done.
const QUICK: [&str; 3] = ["lto=\"off\"", "codegen-units=16", "package.signet.opt-level=1"];
/// What of `web/` is served as it is, by ending.
const STATIC: [&str; 6] = ["html", "css", "js", "webmanifest", "png", "svg"];
/// What of `assets/` the page fetches.
const ASSETS: [&str; 4] = ["student.signet", "teacher.signet", "tokenizer.json", "corpus.txt"];
/// What it shows in a tab.
const ICON: &str = "icon.png";
/// What `sw.js` says where it is not built, and what a build writes there.
const UNBUILT: &str = "const VERSION = 'unbuilt';";

/// Where the page is built.
pub(crate) fn dist() -> PathBuf {
    root().join("web/dist")
}

/// Builds the page as a step of the tests.
pub(crate) fn step() -> Outcome {
    if let Err(why) = prepare() {
        return Outcome::Skipped(format!("the page is not built: {why}"));
    }
    match build(false) {
        Ok(said) => Outcome::Passed(said),
        Err(error) => Outcome::Failed(error),
    }
}

/// Starts compiling the page beside other steps, quietly: its last part keeps one core busy for minutes. What the
/// compiler says is in a file, which [`Compiling::wait`] shows. None where the page cannot be built.
pub(crate) fn begin() -> Option<Compiling> {
    prepare().ok()?;
    let path = target().join("page.log");
    let log = std::fs::File::create(&path).ok()?;
    let child = compile(false).stdout(log.try_clone().ok()?).stderr(log).spawn().ok()?;
    println!("the page is compiled beside this; what is said of it: {}", path.display());
    Some(Compiling { child, path })
}

/// A page that is being compiled.
pub(crate) struct Compiling {
    child: Child,
    path: PathBuf,
}

impl Compiling {
    /// Waits for its end and shows what the compiler said. An error is found by building what is left.
    pub(crate) fn wait(mut self) {
        self.child.wait().ok();
        print!("{}", std::fs::read_to_string(&self.path).unwrap_or_default());
    }
}

impl Drop for Compiling {
    /// Ends it if it still runs: then the step that waits for it was left out.
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The command that compiles the page's module.
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

/// Builds `web/dist`; gives its sizes in a line.
pub(crate) fn build(quick: bool) -> Result<String, String> {
    prepare()?;
    println!("building for WebAssembly");
    if !compile(quick).status().is_ok_and(|status| status.success()) {
        return Err("signet could not be built for WebAssembly, see above".into());
    }
    gather(&target().join(TARGET).join(PROFILE).join("signet-app.wasm"), &dist(), quick)
}

/// Serves what was built until it is ended.
pub(crate) fn serve(port: u16, under: &str) -> Result<(), String> {
    if !dist().join("index.html").is_file() {
        return Err("there is no web/dist to serve; build it first: cargo xtask web".into());
    }
    let server = Server::start(Site::new(under, &dist()), port)?;
    println!("{}  (Ctrl-C ends)", server.url());
    server.wait();
    Ok(())
}

/// Puts the page together beside `out`, and then in its place.
fn gather(module: &Path, out: &Path, quick: bool) -> Result<String, String> {
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
    let said = publish(&part, quick)?;
    std::fs::remove_dir_all(out).ok();
    std::fs::rename(&part, out).map_err(|error| format!("{}: {error}", out.display()))?;
    println!("{}", out.display());
    Ok(said)
}

/// Names the version of the files in a folder, and lists them; gives their sizes in a line.
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
        // The budget is for what is given to visitors.
        Err(over) if quick => Ok(over),
        weighed => weighed,
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    std::fs::copy(from, to).map(|_| ()).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}

/// Runs Binaryen's optimiser where there is one.
fn optimise(module: &Path) -> Result<(), String> {
    if !found("wasm-opt") {
        println!("wasm-opt is not on the PATH: the module stays as the compiler made it");
        return Ok(());
    }
    println!("wasm-opt -O3");
    // The module says itself which features it uses.
    let beside = module.with_extension("opt");
    let status = Command::new("wasm-opt").arg("-O3").arg(module).arg("-o").arg(&beside).status();
    if status.is_ok_and(|status| status.success()) {
        return std::fs::rename(&beside, module).map_err(|error| format!("{}: {error}", module.display()));
    }
    println!("wasm-opt failed: the module stays as the compiler made it");
    std::fs::remove_file(&beside).ok();
    Ok(())
}
