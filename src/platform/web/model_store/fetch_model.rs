//! Downloads a model into the private file system. Resumes after network errors, stops and reloads; a file that is not
//! a model is refused as soon as its first bytes arrive.

use super::super::blobs;
use super::super::failure::error;
use super::super::handle::Handle;
use super::super::link::ask_to_persist;
use super::super::storage::{names, open};
use super::super::tasks::{Clock, sleep, yield_now};
use super::response::{BodyChunk, Response, answers, offline};
use super::{NOTES, Notes, PATIENCE, delete_model, estimate, models_directory, notes, refresh, write_notes};
use crate::platform::disk::{ByteStore, read_part};
use crate::platform::model_download::{DownloadProgress, DownloadRequest, DownloadedModel, HeaderCheck};
use js_sys::Date;
use sha2::{Digest, Sha256};
use std::io;
use web_sys::FileSystemDirectoryHandle;

/// Attempts without a new byte.
const TRIES: u32 = 5;
/// Bytes that are hashed at once.
const PIECE: u64 = 8 << 20;
/// Seconds between progress reports.
const REPORT_INTERVAL: f64 = 0.25;

/// A running download.
struct Fetch<'a> {
    request: DownloadRequest<'a>,
    directory: FileSystemDirectoryHandle,
    name: String,
    handle: Handle,
    notes: Notes,
    /// Bytes stored, and their checksum.
    stored: u64,
    sum: Sha256,
    /// Bytes needed to check the beginning; `None` once it was accepted.
    bytes_to_check: Option<u64>,
    report: &'a mut dyn FnMut(DownloadProgress),
}

/// The end of an attempt.
enum Ended {
    Whole,
    Stopped,
    /// The connection broke.
    Broken(String),
    /// The download restarts from the beginning.
    Restarted,
}

fn refused(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// Downloads a model; `None` if it was stopped.
pub async fn fetch_model(request: DownloadRequest<'_>, report: &mut dyn FnMut(DownloadProgress)) -> io::Result<Option<DownloadedModel>> {
    let url = request.url.trim();
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{url:?} is not the URL of a model: it must begin with https://")));
    }
    ask_to_persist();
    let directory = models_directory().await?;
    let name = free_name(&directory, url).await?;
    let opened = open(&directory, &name, Date::now() + PATIENCE).await.map_err(error);
    let handle = Handle(opened.map_err(|error| io::Error::new(error.kind(), format!("{name} cannot be written: {error}")))?);
    let known = notes(&directory, &name).await;
    let notes = Notes { url: url.into(), ..known };
    let mut fetch = Fetch { request, directory, name, handle, notes, stored: 0, sum: Sha256::new(), bytes_to_check: Some(16), report };
    let done = fetch.run().await;
    let Fetch { directory, name, handle, stored, sum, .. } = fetch;
    drop(handle);
    if stored == 0 || done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidData) {
        // Remove an empty file, and one that is not a model or not the expected one.
        delete_model(&name).await?;
    }
    refresh(&directory).await?;
    let sha256 = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(done?.then(|| DownloadedModel { path: format!("{}/{name}", blobs::MODELS), name, bytes: stored, sha256 }))
}

/// The name for a URL: its existing one, or a new one.
async fn free_name(directory: &FileSystemDirectoryHandle, url: &str) -> io::Result<String> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let mut stem: String = last.chars().take(80).map(plain).collect();
    if stem.trim_matches(['.', '_']).is_empty() || stem.ends_with(NOTES) {
        stem = format!("model-{}", stem.trim_start_matches('.'));
        stem = stem.replace(NOTES, "");
    }
    let taken = names(directory).await.map_err(error)?;
    for n in 1.. {
        let name = if n == 1 { stem.clone() } else { format!("{n}-{stem}") };
        if !taken.contains(&name) || notes(directory, &name).await.url == url {
            return Ok(name);
        }
    }
    unreachable!("numbers do not end")
}

impl Fetch<'_> {
    /// Returns true if the download completed, false if it was stopped. Partial data is kept unless it is not a model.
    async fn run(&mut self) -> io::Result<bool> {
        if !self.hash_stored().await? {
            return Ok(false);
        }
        let mut tries = 0;
        while !self.notes.whole {
            let before = self.stored;
            match self.attempt().await? {
                Ended::Whole => {
                    self.notes.whole = true;
                    self.notes.of = Some(self.stored);
                }
                Ended::Stopped => {
                    self.handle.flush()?;
                    return Ok(false);
                }
                Ended::Restarted => {}
                Ended::Broken(why) => {
                    self.handle.flush()?;
                    tries = if self.stored > before { 1 } else { tries + 1 };
                    // A server that answers, but not to this page, never will.
                    let closed = self.stored == 0 && tries == 1 && answers(self.request.url).await;
                    if tries >= TRIES || closed {
                        return Err(self.give_up(&why).await);
                    }
                    if !self.wait(1 << (tries - 1), &why).await {
                        return Ok(false);
                    }
                }
            }
        }
        let sum = self.sum.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        if let Some(want) = self.request.sha256.filter(|want| !want.trim().eq_ignore_ascii_case(&sum)) {
            return Err(refused(format!("its SHA-256 is {sum}, not {want}: it is damaged or another file, and was deleted")));
        }
        self.handle.flush()?;
        write_notes(&self.directory, &self.name, &self.notes).await?;
        Ok(true)
    }

    fn report_progress(&mut self, rate: f64, note: &str) {
        let fetching = DownloadProgress { name: self.name.clone(), done: self.stored, of: self.notes.of, rate, note: note.into() };
        (self.report)(fetching);
    }

    /// Hashes the data of an earlier download; returns false if it was stopped.
    async fn hash_stored(&mut self) -> io::Result<bool> {
        let there = self.handle.bytes()?;
        while self.stored < there {
            let piece = read_part(&self.handle, self.stored, PIECE)?;
            self.sum.update(&piece);
            self.stored += piece.len() as u64;
            self.report_progress(0.0, "verifying what was fetched before");
            yield_now().await;
            if (self.request.stop)() {
                return Ok(false);
            }
        }
        self.check_start()?;
        Ok(true)
    }

    /// Fails if the file is not a model, once enough bytes are there.
    fn check_start(&mut self) -> io::Result<()> {
        while let Some(need) = self.bytes_to_check.filter(|need| self.stored >= *need || self.notes.of == Some(self.stored) && self.stored > 0) {
            match (self.request.check_start)(&read_part(&self.handle, 0, need)?) {
                HeaderCheck::More(more) if more > need && self.stored >= need => self.bytes_to_check = Some(more),
                HeaderCheck::More(_) => return Err(refused("it ends before its header does".into())),
                HeaderCheck::Good => self.bytes_to_check = None,
                HeaderCheck::Bad(what) => return Err(refused(format!("{} is not a model: {what}", self.request.url))),
            }
        }
        Ok(())
    }

    /// Discards the stored data.
    fn restart(&mut self, why: &str) -> io::Result<()> {
        self.handle.resize(0)?;
        (self.stored, self.sum, self.bytes_to_check) = (0, Sha256::new(), Some(16));
        self.report_progress(0.0, why);
        Ok(())
    }

    async fn attempt(&mut self) -> io::Result<Ended> {
        let mut response = match Response::request(self.request.url.trim(), self.stored).await {
            Ok(response) => response,
            Err(why) => return Ok(Ended::Broken(why)),
        };
        let (length, validator) = (response.length(), response.validator());
        match response.status() {
            206 if self.stored > 0 => {
                let same = validator == self.notes.validator && length.zip(self.notes.of).is_none_or(|(rest, of)| self.stored + rest == of);
                if !same {
                    response.cancel();
                    self.restart("the file changed on the server: fetching it from the start")?;
                    return Ok(Ended::Restarted);
                }
            }
            200 => {
                if self.stored > 0 {
                    self.restart("this server cannot resume downloads: fetching the file from the start")?;
                }
                self.notes.of = length;
                self.notes.validator = validator;
                self.check_quota(length).await?;
                write_notes(&self.directory, &self.name, &self.notes).await?;
            }
            // Nothing is missing, or the file is shorter now.
            416 if self.notes.of == Some(self.stored) => return Ok(Ended::Whole),
            416 => {
                self.restart("the file changed on the server: fetching it from the start")?;
                return Ok(Ended::Restarted);
            }
            status @ (408 | 425 | 429 | 500..=599) => return Ok(Ended::Broken(format!("the server answers {status}"))),
            status => return Err(io::Error::other(format!("the server answers {status}: the file is not public or does not exist. Check the URL"))),
        }
        let ended = self.receive(&mut response).await;
        response.cancel();
        ended
    }

    async fn receive(&mut self, response: &mut Response) -> io::Result<Ended> {
        let (clock, start) = (Clock::start(), self.stored);
        let (mut reported, mut timeouts) = (-REPORT_INTERVAL, 0);
        loop {
            if (self.request.stop)() {
                return Ok(Ended::Stopped);
            }
            match response.next(&mut timeouts).await {
                Ok(BodyChunk::Bytes(bytes)) => {
                    let bytes = bytes.to_vec();
                    self.handle.write(self.stored, &bytes)?;
                    self.sum.update(&bytes);
                    self.stored += bytes.len() as u64;
                    self.check_start()?;
                }
                Ok(BodyChunk::Later) => {}
                Ok(BodyChunk::End) if self.notes.of.is_none_or(|of| of == self.stored) && self.stored > 0 => {
                    self.notes.of = Some(self.stored);
                    self.check_start()?;
                    return Ok(Ended::Whole);
                }
                Ok(BodyChunk::End) => return Ok(Ended::Broken("the server closed the connection early".into())),
                Err(why) => return Ok(Ended::Broken(why)),
            }
            if clock.seconds() - reported >= REPORT_INTERVAL {
                reported = clock.seconds();
                let note = if timeouts > 4 { "waiting for the server" } else { "" };
                self.report_progress((self.stored - start) as f64 / reported.max(0.1), note);
                yield_now().await;
            }
        }
    }

    /// Fails if the quota is too small for the file.
    async fn check_quota(&self, length: Option<u64>) -> io::Result<()> {
        let (used, quota) = estimate().await;
        let free = quota.saturating_sub(used);
        match length {
            Some(length) if quota > 0 && length > free => Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                format!(
                    "it has {:.0} MB, but the browser gives this site only {:.0} MB more ({:.0} of {:.0} MB are in use). Delete models or runs here, or free some disk space",
                    length as f64 / 1e6,
                    free as f64 / 1e6,
                    used as f64 / 1e6,
                    quota as f64 / 1e6
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Waits before the next attempt; returns false if it was stopped.
    async fn wait(&mut self, seconds: u32, why: &str) -> bool {
        for left in (1..=seconds).rev() {
            self.report_progress(0.0, &format!("the connection broke ({why}): retrying in {left} s"));
            for _ in 0..4 {
                sleep(0.25).await;
                if (self.request.stop)() {
                    return false;
                }
            }
        }
        true
    }

    /// The error after the last attempt.
    async fn give_up(&self, why: &str) -> io::Error {
        let kept = format!("The part that was fetched is kept ({:.1} MB): fetch the model again to resume", self.stored as f64 / 1e6);
        let problem = if offline() {
            format!("there is no network. {kept}")
        } else if self.stored == 0 && answers(self.request.url).await {
            "the server does not let pages of other sites read this file (it sends no CORS headers). Download it with the browser and open the file here".into()
        } else if self.stored == 0 {
            format!("cannot reach the server ({why}). Check the URL and the network")
        } else {
            format!("the connection was lost ({why}). {kept}")
        };
        io::Error::new(io::ErrorKind::NetworkUnreachable, problem)
    }
}
