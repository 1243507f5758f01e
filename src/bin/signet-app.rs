//! The app alone, for a double-click: on Windows without a console. Its errors are shown in a dialog.
#![cfg_attr(windows, windows_subsystem = "windows")]

fn main() -> ! {
    signet::runner::fail_at_file_size_limit();
    // What a double-click starts in is no place for runs.
    let first_runs = signet::runner::home_dir().map(|home| home.join("Signet").join("runs"));
    if let Err(error) = signet::app::open(signet::app::Options { first_runs, ..Default::default() }) {
        rfd::MessageDialog::new().set_level(rfd::MessageLevel::Error).set_title("Signet").set_description(format!("{error:#}")).show();
        signet::runner::exit(1);
    }
    signet::runner::exit(0)
}
