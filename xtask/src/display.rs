//! A virtual display (Xvfb) with keyboard, pointer and screenshots.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    Atom, BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ClientMessageEvent, ConnectionExt as _, EventMask, ImageFormat, InputFocus, KEY_PRESS_EVENT,
    KEY_RELEASE_EVENT, MOTION_NOTIFY_EVENT, MapState, Window,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

/// Width and height in pixels.
pub(crate) const SIZE: (u16, u16) = (1280, 860);

/// Xvfb's key code of Enter.
pub(crate) const ENTER: u8 = 36;
/// The left Control key.
pub(crate) const CONTROL: u8 = 37;
/// The left Shift key.
pub(crate) const SHIFT: u8 = 50;
/// The digits 1 to 5.
pub(crate) const DIGITS: [u8; 5] = [10, 11, 12, 13, 14];

/// A virtual display, ended when dropped.
pub(crate) struct Display {
    server: Child,
    name: String,
    connection: RustConnection,
    root: Window,
}

fn text(error: impl std::fmt::Display) -> String {
    format!("the display: {error}")
}

impl Display {
    /// Starts a display.
    pub(crate) fn start() -> Result<Self, String> {
        let (width, height) = SIZE;
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", &format!("{width}x{height}x24"), "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("Xvfb: {error}"))?;
        let mut number = String::new();
        let read = BufReader::new(server.stdout.take().expect("piped")).read_line(&mut number);
        if read.is_err() || number.trim().is_empty() {
            server.kill().ok();
            return Err("Xvfb names no display".into());
        }
        let name = format!(":{}", number.trim());
        let (connection, screen) = x11rb::connect(Some(&name)).map_err(text)?;
        let root = connection.setup().roots[screen].root;
        Ok(Self { server, name, connection, root })
    }

    /// The value of `DISPLAY`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Waits until a window is shown, and gives it the keyboard focus.
    pub(crate) fn window(&self, patience: Duration) -> Result<Window, String> {
        let start = Instant::now();
        while start.elapsed() < patience {
            let windows = self.connection.query_tree(self.root).map_err(text)?.reply().map_err(text)?.children;
            for window in windows {
                let shown = self.connection.get_window_attributes(window).map_err(text)?.reply().is_ok_and(|seen| seen.map_state == MapState::VIEWABLE);
                let wide = self.connection.get_geometry(window).map_err(text)?.reply().is_ok_and(|place| place.width > 300);
                if shown && wide {
                    self.connection.set_input_focus(InputFocus::POINTER_ROOT, window, 0_u32).map_err(text)?;
                    self.connection.flush().map_err(text)?;
                    return Ok(window);
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("no window was opened".into())
    }

    fn fake(&self, kind: u8, detail: u8, x: i16, y: i16) -> Result<(), String> {
        self.connection.xtest_fake_input(kind, detail, 0, self.root, x, y, 0).map_err(text)?;
        self.connection.flush().map_err(text)
    }

    /// Presses keys together and releases them.
    pub(crate) fn press(&self, keys: &[u8]) -> Result<(), String> {
        for &key in keys {
            self.fake(KEY_PRESS_EVENT, key, 0, 0)?;
            std::thread::sleep(Duration::from_millis(20));
        }
        for &key in keys.iter().rev() {
            self.fake(KEY_RELEASE_EVENT, key, 0, 0)?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Moves the pointer.
    pub(crate) fn point(&self, x: i16, y: i16) -> Result<(), String> {
        self.fake(MOTION_NOTIFY_EVENT, 0, x, y)
    }

    /// Clicks at a position.
    pub(crate) fn click(&self, x: i16, y: i16) -> Result<(), String> {
        self.point(x, y)?;
        for kind in [BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT] {
            std::thread::sleep(Duration::from_millis(60));
            self.fake(kind, 1, x, y)?;
        }
        Ok(())
    }

    /// Types lower-case letters and spaces.
    pub(crate) fn write(&self, text: &str) -> Result<(), String> {
        let rows = [(24, "qwertyuiop"), (38, "asdfghjkl"), (52, "zxcvbnm"), (65, " ")];
        for letter in text.chars() {
            let code = rows.iter().find_map(|(first, row)| Some(first + row.find(letter)? as u8)).ok_or(format!("{letter:?} is not on the keyboard"))?;
            self.press(&[code])?;
        }
        Ok(())
    }

    /// Asks a window to close, like its close button.
    pub(crate) fn close(&self, window: Window) -> Result<(), String> {
        let atom = |name: &str| -> Result<Atom, String> { Ok(self.connection.intern_atom(false, name.as_bytes()).map_err(text)?.reply().map_err(text)?.atom) };
        let message = ClientMessageEvent::new(32, window, atom("WM_PROTOCOLS")?, [atom("WM_DELETE_WINDOW")?, 0, 0, 0, 0]);
        self.connection.send_event(false, window, EventMask::NO_EVENT, message).map_err(text)?;
        self.connection.flush().map_err(text)
    }

    /// Takes a screenshot: RGB, row by row.
    pub(crate) fn picture(&self) -> Result<Vec<u8>, String> {
        let (width, height) = SIZE;
        let image = self.connection.get_image(ImageFormat::Z_PIXMAP, self.root, 0, 0, width, height, u32::MAX).map_err(text)?.reply().map_err(text)?;
        Ok(image.data.as_chunks().0.iter().flat_map(|&[blue, green, red, _]| [red, green, blue]).collect())
    }

    /// Writes a screenshot as PNG.
    pub(crate) fn save(&self, path: &Path) -> Result<(), String> {
        let picture = self.picture()?;
        let file = std::fs::File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut encoder = png::Encoder::new(std::io::BufWriter::new(file), SIZE.0.into(), SIZE.1.into());
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::High);
        let write = encoder.write_header().and_then(|mut writer| writer.write_image_data(&picture));
        write.map_err(|error| format!("{}: {error}", path.display()))
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}
