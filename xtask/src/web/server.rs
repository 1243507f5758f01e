//! A server of static files on this machine alone, as plain as the plainest host: no header that a
//! page would need, but ranges, so that a download can go on where it stopped. Over TCP: tiny_http has no
//! ranges or tags, is no longer maintained (its issue 286, 2026), and cannot cut a body off, which a scenario
//! asks for; tower-http, which has the first two, needs an async runtime.

use super::http::{Head, write_head};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

/// A connection that says nothing for so long is closed.
const SILENCE: Duration = Duration::from_secs(20);

/// What is served, and where.
pub(crate) struct Site {
    /// Paths, `/` in front and behind, and the folder that each stands for; the first that fits is taken.
    pub(crate) folders: Vec<(String, PathBuf)>,
    /// Bytes after which the body of a file is cut off once, as by a network that is gone; 0 for never.
    pub(crate) cut: AtomicU64,
}

impl Site {
    /// A site of one folder.
    pub(crate) fn new(under: &str, folder: &Path) -> Self {
        Self { folders: vec![(slashed(under), folder.to_owned())], cut: AtomicU64::new(0) }
    }

    /// The file that a path of a request stands for.
    fn find(&self, path: &str) -> Option<PathBuf> {
        let path = decode(path.split(['?', '#']).next()?)?;
        let (under, folder) = self.folders.iter().find(|(under, _)| path.starts_with(under.as_str()))?;
        let mut found = folder.clone();
        for part in path[under.len()..].split('/') {
            // Neither up, nor to a hidden file, nor to another root.
            if part.starts_with('.') || part.contains(['\\', ':', '\0']) {
                return None;
            }
            found.push(part);
        }
        if path.ends_with('/') {
            found.push("index.html");
        }
        found.is_file().then_some(found)
    }
}

/// A path with a slash at both ends.
fn slashed(path: &str) -> String {
    let inner = path.trim_matches('/');
    if inner.is_empty() { "/".into() } else { format!("/{inner}/") }
}

/// A path without `%XX`; `None` where it is no text.
fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        rest = others;
        let byte = match first {
            b'%' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                rest = &rest[2..];
                u8::from_str_radix(digits, 16).ok()?
            }
            byte => byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

/// A server; gone when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    site: Arc<Site>,
    stopped: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves a site at a port of 127.0.0.1; 0 takes any that is free.
    pub(crate) fn start(site: Site, port: u16) -> Result<Self, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| format!("127.0.0.1:{port}: {error}; try another --port"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let (site, stopped) = (Arc::new(site), Arc::new(AtomicBool::new(false)));
        let (serving, stopping) = (site.clone(), stopped.clone());
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let (site, stopped) = (serving.clone(), stopping.clone());
                if let Ok(stream) = stream {
                    std::thread::spawn(move || converse(&stream, &site, &stopped));
                }
            }
        });
        Ok(Self { address, site, stopped, accepting: Some(accepting) })
    }

    /// Where the first folder is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{}", self.address, self.site.folders[0].0)
    }

    /// Cuts the next longer body off once, after so many bytes.
    pub(crate) fn cut_once(&self, bytes: u64) {
        self.site.cut.store(bytes, Ordering::SeqCst);
    }

    /// Serves until it is ended from outside.
    pub(crate) fn wait(mut self) {
        if let Some(thread) = self.accepting.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // The thread that accepts is woken to see it.
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.accepting.take() {
            thread.join().ok();
        }
    }
}

/// Answers the requests of a connection until it or the server ends.
fn converse(stream: &TcpStream, site: &Site, stopped: &AtomicBool) {
    stream.set_read_timeout(Some(SILENCE)).ok();
    stream.set_nodelay(true).ok();
    let mut input = BufReader::new(stream);
    while let Ok(Some(head)) = Head::read(&mut input) {
        if stopped.load(Ordering::SeqCst) || head.body(&mut input).is_err() || answer(&head, site, stream).is_err() {
            return;
        }
    }
}

/// Answers one request.
fn answer(head: &Head, site: &Site, mut stream: &TcpStream) -> std::io::Result<()> {
    let mut words = head.first.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut empty = |status: &str, header: (&str, String)| {
        write_head(&mut stream, &format!("HTTP/1.1 {status}"), &[("content-length", "0".into()), ("cache-control", "no-store".into()), header])
    };
    if !["GET", "HEAD"].contains(&method) {
        return empty("405 Method Not Allowed", ("allow", "GET, HEAD".into()));
    }
    let Some(found) = site.find(path) else { return empty("404 Not Found", ("content-type", "text/plain".into())) };
    let mut file = File::open(&found)?;
    let length = file.metadata()?.len();
    let tag = tag(&file)?;
    if head.header("if-none-match").is_some_and(|known| known.split(',').any(|known| known.trim() == tag)) {
        return empty("304 Not Modified", ("etag", tag));
    }
    // A range of an older file is no use: then all is sent.
    let fresh = head.header("if-range").is_none_or(|known| known == tag);
    let range = match head.header("range").filter(|_| fresh).map(|text| ranged(text, length)) {
        Some(Asked::Nothing) => return empty("416 Range Not Satisfiable", ("content-range", format!("bytes */{length}"))),
        Some(Asked::Part(range)) => Some(range),
        Some(Asked::Whole) | None => None,
    };
    let part = range.clone().unwrap_or(0..length);
    let mut headers = vec![
        ("content-type", kind(&found).to_owned()),
        ("content-length", (part.end - part.start).to_string()),
        ("accept-ranges", "bytes".into()),
        ("cache-control", "no-cache".into()),
        ("etag", tag),
    ];
    headers.extend(range.as_ref().map(|range| ("content-range", format!("bytes {}-{}/{length}", range.start, range.end - 1))));
    write_head(&mut stream, if range.is_some() { "HTTP/1.1 206 Partial Content" } else { "HTTP/1.1 200 OK" }, &headers)?;
    if method == "HEAD" {
        return Ok(());
    }
    file.seek(SeekFrom::Start(part.start))?;
    let cut = site.cut.load(Ordering::SeqCst);
    if cut > 0 && part.end - part.start > cut {
        site.cut.store(0, Ordering::SeqCst);
        std::io::copy(&mut file.take(cut), &mut stream)?;
        return Err(std::io::Error::other("cut off, as was asked"));
    }
    std::io::copy(&mut file.take(part.end - part.start), &mut stream)?;
    stream.flush()
}

/// What a header `range` asks for.
#[derive(Debug, PartialEq)]
enum Asked {
    Part(Range<u64>),
    /// It is not understood, or asks for several parts: all may be sent.
    Whole,
    /// What the file does not have.
    Nothing,
}

/// Reads `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-COUNT`.
fn ranged(text: &str, length: u64) -> Asked {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else { return Asked::Whole };
    let range = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..length.min(last.saturating_add(1)),
        (Ok(first), Err(_)) if last.trim().is_empty() => first..length,
        (Err(_), Ok(count)) if first.trim().is_empty() => length.saturating_sub(count)..length,
        _ => return Asked::Whole,
    };
    if range.start < range.end { Asked::Part(range) } else { Asked::Nothing }
}

/// Changes whenever the file does.
fn tag(file: &File) -> std::io::Result<String> {
    let about = file.metadata()?;
    let changed = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(format!("\"{:x}-{:x}\"", changed.as_nanos(), about.len()))
}

/// What a browser is told that a file is.
fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|ending| ending.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "wasm" => "application/wasm",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
