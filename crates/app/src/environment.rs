//! The platform, a window or a browser, and the line about the device that a browser computes on.

use super::percent::decode;
use signet::runner::DeviceInfo;
use std::path::{Path, PathBuf};

/// The platform that the app runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The page, in a browser: there are no folders and no window to close.
    pub page: Option<Page>,
}

/// A page and its browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// URL without the fragment.
    pub address: String,
    /// The user agent string.
    pub agent: String,
    /// True if the browser has WebGPU.
    pub webgpu: bool,
    /// True in a secure context: https, or localhost.
    pub secure: bool,
}

impl Environment {
    /// True if folders can be chosen.
    pub(super) fn folders(&self) -> bool {
        self.page.is_none()
    }

    /// Default folder for saved files; in a browser they become downloads.
    pub(super) fn saved_in(&self, runs: &Path) -> PathBuf {
        if self.page.is_some() { "/downloads".into() } else { runs.into() }
    }
}

/// Browser families, which differ in how WebGPU is enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BrowserFamily {
    Chromium,
    Firefox,
    Safari,
    Other,
}

/// Systems, which differ in the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Linux,
    Android,
    Mac,
    Ios,
    Other,
}

impl Page {
    /// The filter of the conformance check that the URL asks for with `?conform=1`; none if it does not.
    pub fn conform(&self) -> Option<String> {
        let (_, query) = self.address.split_once('?')?;
        let value = |name: &str| query.split('&').filter_map(|part| part.split_once('=')).find(|(found, _)| *found == name).map(|(_, value)| value);
        value("conform").filter(|wish| *wish == "1")?;
        Some(value("filter").and_then(|filter| decode(filter).ok()).unwrap_or_default())
    }

    fn browser(&self) -> BrowserFamily {
        let has = |name| self.agent.contains(name);
        // Every browser on iOS is based on Safari.
        if matches!(self.system(), System::Ios) || has("Safari/") && has("Version/") && !has("Chrome/") {
            BrowserFamily::Safari
        } else if has("Firefox/") {
            BrowserFamily::Firefox
        } else if has("Chrome/") || has("Chromium/") {
            BrowserFamily::Chromium
        } else {
            BrowserFamily::Other
        }
    }

    fn system(&self) -> System {
        let has = |name| self.agent.contains(name);
        if has("Android") {
            System::Android
        } else if has("iPhone") || has("iPad") {
            System::Ios
        } else if has("Mac OS X") {
            System::Mac
        } else if has("Linux") || has("X11") {
            System::Linux
        } else {
            System::Other
        }
    }

    /// How to enable WebGPU in this browser.
    fn remedy(&self) -> &'static str {
        match (self.browser(), self.system()) {
            (BrowserFamily::Firefox, System::Linux) => "on Linux it has it behind a setting: in about:config set dom.webgpu.enabled to true and reload",
            (BrowserFamily::Firefox, System::Mac) => {
                "on a Mac with Apple's own processor it has it from version 147 on, before behind a setting: in about:config set dom.webgpu.enabled to true and reload"
            }
            (BrowserFamily::Firefox, System::Android) => "on Android it has none yet: Chrome has, from version 121 on",
            (BrowserFamily::Firefox, _) => {
                "on Windows it has it from version 141 on, before behind a setting: in about:config set dom.webgpu.enabled to true and reload"
            }
            (BrowserFamily::Safari, System::Ios) => {
                "from iOS 26 on it has it, before behind a setting: Settings, Apps, Safari, Advanced, Feature Flags, WebGPU"
            }
            (BrowserFamily::Safari, _) => {
                "Safari has it from version 26 on, before behind a setting: Settings, Advanced, Show features for web developers, then Feature Flags, WebGPU"
            }
            (BrowserFamily::Chromium, System::Linux) => {
                "on Linux it has it for some graphics cards only; for the others set chrome://flags/#enable-unsafe-webgpu and chrome://flags/#enable-vulkan to Enabled and start it again"
            }
            (BrowserFamily::Chromium, System::Android) => "on Android it has it from version 121 and Android 12 on",
            (BrowserFamily::Chromium, _) => {
                "from version 113 on it has it: update it, or set chrome://flags/#enable-unsafe-webgpu to Enabled and start it again"
            }
            (BrowserFamily::Other, _) => "Chrome, Edge, Firefox and Safari have it",
        }
    }

    /// Describes the device that chat and training run on, and why. `devices` are the engine's adapters; none until
    /// they are listed.
    pub(super) fn line(&self, devices: Option<&[DeviceInfo]>) -> String {
        const CPU: &str = "Chat and training run on the CPU, in one thread";
        let Some(devices) = devices else { return "Looking for a GPU…".into() };
        let able = |device: &&DeviceInfo| device.lacks.is_empty();
        if let Some(device) = devices.iter().filter(able).find(|device| device.preferred).or_else(|| devices.iter().find(able)) {
            let imitated = if device.kind == "Cpu" { ", a program that imitates one" } else { "" };
            return match device.preferred || imitated.is_empty() {
                true => format!("Chat and training run on the GPU: {}{imitated}", name(device)),
                false => format!("{CPU}: the only GPU is {}{imitated}. WebGPU is there, and it can be chosen where something is computed", name(device)),
            };
        }
        if let Some(device) = devices.first() {
            return format!("{CPU}: {} cannot be used ({})", name(device), device.lacks.join("; "));
        }
        if self.webgpu {
            return format!(
                "{CPU}: this browser has WebGPU but gives no GPU. Its hardware acceleration may be off, or the driver is one that it does not trust; {}",
                self.remedy()
            );
        }
        if !self.secure {
            return format!("{CPU}: browsers give WebGPU only to pages that came by https, or from this machine (http://localhost)");
        }
        format!("{CPU}: this browser has no WebGPU; {}", self.remedy())
    }
}

/// A GPU's name; many browsers hide it.
fn name(device: &DeviceInfo) -> String {
    match device.name.trim().strip_prefix('(') {
        Some(backend) => format!("one that the browser does not name ({backend}"),
        None => device.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIREFOX_LINUX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    const SAFARI_MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15";
    const CHROME_IPHONE: &str =
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/137.0 Mobile/15E148 Safari/604.1";
    const CHROME_LINUX: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36";
    const CHROME_ANDROID: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Mobile Safari/537.36";

    fn page(agent: &str) -> Page {
        Page { agent: agent.into(), secure: true, ..Page::default() }
    }

    fn device(name: &str, kind: &str, preferred: bool, lacks: &[&str]) -> DeviceInfo {
        let text = format!(
            r#"{{"index":0,"name":"{name}","kind":"{kind}","driver":"","binding_bytes":0,"buffer_bytes":0,"memory_bytes":null,"lacks":{lacks:?},"features":[],"preferred":{preferred}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn conformance_starts_only_if_the_url_asks_for_it() {
        let asked = |address: &str| Page { address: address.into(), ..Page::default() }.conform();
        assert_eq!(asked("https://a.example/s/?conform=1"), Some(String::new()));
        assert_eq!(asked("https://a.example/?x=2&filter=rms_norm%3A%20one&conform=1"), Some("rms_norm: one".into()));
        for address in ["https://a.example/", "https://a.example/?conform=0", "https://a.example/?filter=add", "conform=1"] {
            assert_eq!(asked(address), None, "{address}");
        }
    }

    #[test]
    fn each_browser_without_webgpu_gets_its_own_remedy() {
        for (agent, expected) in [
            (FIREFOX_LINUX, "dom.webgpu.enabled"),
            (SAFARI_MAC, "Feature Flags, WebGPU"),
            (CHROME_IPHONE, "Settings, Apps, Safari"),
            (CHROME_LINUX, "chrome://flags/#enable-unsafe-webgpu"),
            (CHROME_ANDROID, "version 121"),
            ("curl/8", "Chrome, Edge, Firefox and Safari"),
        ] {
            let line = page(agent).line(Some(&[]));
            assert!(line.starts_with("Chat and training run on the CPU, in one thread: this browser has no WebGPU; ") && line.contains(expected), "{line}");
        }
        let open = Page { secure: false, ..page(CHROME_LINUX) };
        assert!(open.line(Some(&[])).contains("https"));
    }

    #[test]
    fn the_line_names_the_device_and_the_reason() {
        let page = Page { webgpu: true, ..page(CHROME_LINUX) };
        assert_eq!(page.line(None), "Looking for a GPU…");
        assert_eq!(page.line(Some(&[device("Card", "DiscreteGpu", true, &[])])), "Chat and training run on the GPU: Card");
        let imitated = page.line(Some(&[device("SwiftShader", "Cpu", false, &[])]));
        assert!(imitated.contains("CPU") && imitated.contains("SwiftShader, a program that imitates one"), "{imitated}");
        let unnamed = page.line(Some(&[device(" (webgpu)", "Other", true, &[])]));
        assert_eq!(unnamed, "Chat and training run on the GPU: one that the browser does not name (webgpu)");
        let weak = page.line(Some(&[device("Old", "IntegratedGpu", false, &["bindings is 4, 8 needed"])]));
        assert!(weak.contains("CPU") && weak.contains("bindings is 4"), "{weak}");
        assert!(page.line(Some(&[])).contains("hardware acceleration"));
    }
}
