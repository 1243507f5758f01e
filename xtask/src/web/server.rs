//! A minimal server of static files on localhost: no special headers, but range requests, so that a download can
//! resume. Implemented over TCP: tiny_http has no ranges or entity tags, is no longer maintained (its issue 286,
//! 2026), and cannot cut off a body, which a scenario needs; tower-http, which has the first two, needs an async
//! runtime.

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

/// Timeout of an idle connection.
const SILENCE: Duration = Duration::from_secs(20);

/// The served folders.
pub(crate) struct Site {
    /// URL paths with `/` at both ends, and their folders; the first match wins.
    pub(crate) folders: Vec<(String, PathBuf)>,
    /// Bytes after which one body is cut off, to simulate a network failure; 0 for never.
    pub(crate) cut: AtomicU64,
}

impl Site {
    /// Creates a site of one folder.
    pub(crate) fn new(under: &str, folder: &Path) -> Self {
        Self { folders: vec![(slashed(under), folder.to_owned())], cut: AtomicU64::new(0) }
    }

    /// Returns the file of a request's path.
    fn find(&self, path: &str) -> Option<PathBuf> {
        let path = decode(path.split(['?', '#']).next()?)?;
        let (under, folder) = self.folders.iter().find(|(under, _)| path.starts_with(under.as_str()))?;
        let mut found = folder.clone();
        for part in path[under.len()..].split('/') {
            // No parent folders, hidden files or absolute paths.
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

/// Returns a path with a slash at both ends.
fn slashed(path: &str) -> String {
    let inner = path.trim_matches('/');
    if inner.is_empty() { "/".into() } else { format!("/{inner}/") }
}

/// Percent-decodes a path; `None` if it is not UTF-8.
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

/// A server, stopped when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    site: Arc<Site>,
    stopped: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves a site at a port of 127.0.0.1; 0 selects an unused one.
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
                    std::thread::spawn(move || serve_connection(&stream, &site, &stopped));
                }
            }
        });
        Ok(Self { address, site, stopped, accepting: Some(accepting) })
    }

    /// URL of the first folder.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{}", self.address, self.site.folders[0].0)
    }

    /// Cuts off the next body longer than `bytes`, once.
    pub(crate) fn cut_once(&self, bytes: u64) {
        self.site.cut.store(bytes, Ordering::SeqCst);
    }

    /// Serves until the process is ended.
    pub(crate) fn wait(mut self) {
        if let Some(thread) = self.accepting.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Connect once, to wake the accepting thread.
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.accepting.take() {
            thread.join().ok();
        }
    }
}

/// Answers the requests of a connection until it or the server ends.
fn serve_connection(stream: &TcpStream, site: &Site, stopped: &AtomicBool) {
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
    // If the file changed since, send all of it.
    let fresh = head.header("if-range").is_none_or(|known| known == tag);
    let range = match head.header("range").filter(|_| fresh).map(|text| parse_range(text, length)) {
        Some(ByteRange::Unsatisfiable) => return empty("416 Range Not Satisfiable", ("content-range", format!("bytes */{length}"))),
        Some(ByteRange::Part(range)) => Some(range),
        Some(ByteRange::Whole) | None => None,
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
        return Err(std::io::Error::other("cut off on request"));
    }
    std::io::copy(&mut file.take(part.end - part.start), &mut stream)?;
    stream.flush()
}

/// The range that a `Range` header requests.
#[derive(Debug, PartialEq)]
enum ByteRange {
    Part(Range<u64>),
    /// All: the header is invalid or has several ranges.
    Whole,
    /// A range outside the file.
    Unsatisfiable,
}

/// Parses `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-COUNT`.
fn parse_range(text: &str, length: u64) -> ByteRange {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else { return ByteRange::Whole };
    let range = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..length.min(last.saturating_add(1)),
        (Ok(first), Err(_)) if last.trim().is_empty() => first..length,
        (Err(_), Ok(count)) if first.trim().is_empty() => length.saturating_sub(count)..length,
        _ => return ByteRange::Whole,
    };
    if range.start < range.end { ByteRange::Part(range) } else { ByteRange::Unsatisfiable }
}

/// The entity tag of a file, from modification time and size.
fn tag(file: &File) -> std::io::Result<String> {
    let about = file.metadata()?;
    let changed = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(format!("\"{:x}-{:x}\"", changed.as_nanos(), about.len()))
}

/// The media type of a file.
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
