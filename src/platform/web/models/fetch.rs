//! Fetching a model into the private file system. It goes on where it was after a broken network, a stop
//! or a reload; what is no model is refused as soon as its beginning is here.

use super::super::blobs;
use super::super::failure::error;
use super::super::handle::Handle;
use super::super::link::ask_to_persist;
use super::super::storage::{names, open};
use super::super::tasks::{Clock, breathe, rest};
use super::response::{Piece, Response, answers, offline};
use super::{NOTES, Notes, PATIENCE, all, delete_model, estimate, notes, shelf, write_notes};
use crate::platform::disk::{Store, read_part};
use crate::platform::models::{Fetched, Fetching, Verdict, Wanted};
use js_sys::Date;
use sha2::{Digest, Sha256};
use std::io;
use web_sys::FileSystemDirectoryHandle;

/// Times that it is tried without a byte more.
const TRIES: u32 = 5;
/// Bytes that are looked at at once.
const PIECE: u64 = 8 << 20;
/// Seconds between two words on how far it is.
const TELL: f64 = 0.25;

/// A model on its way.
struct Fetch<'a> {
    wanted: Wanted<'a>,
    shelf: FileSystemDirectoryHandle,
    name: String,
    handle: Handle,
    notes: Notes,
    /// Bytes that are here, and their checksum.
    had: u64,
    sum: Sha256,
    /// Bytes from which on its beginning can be judged; none once it is found good.
    judged_at: Option<u64>,
    tell: &'a mut dyn FnMut(Fetching),
}

/// How a try ended.
enum Ended {
    Whole,
    Stopped,
    /// The network broke.
    Broken(String),
    /// It began again from the start.
    Again,
}

fn refused(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// Fetches a model; none if it was stopped.
pub async fn fetch_model(wanted: Wanted<'_>, tell: &mut dyn FnMut(Fetching)) -> io::Result<Option<Fetched>> {
    let url = wanted.url.trim();
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{url:?} is no address of a model: it must begin with https://")));
    }
    ask_to_persist();
    let shelf = shelf().await?;
    let name = free_name(&shelf, url).await?;
    let opened = open(&shelf, &name, Date::now() + PATIENCE).await.map_err(error);
    let handle = Handle(opened.map_err(|error| io::Error::new(error.kind(), format!("{name} cannot be written: {error}")))?);
    let known = notes(&shelf, &name).await;
    let notes = Notes { url: url.into(), ..known };
    let mut fetch = Fetch { wanted, shelf, name, handle, notes, had: 0, sum: Sha256::new(), judged_at: Some(16), tell };
    let done = fetch.run().await;
    let Fetch { shelf, name, handle, had, sum, .. } = fetch;
    drop(handle);
    if had == 0 || done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidData) {
        // Nothing, or what is no model, or not the one that was wanted, is of no use.
        delete_model(&name).await?;
    }
    all(&shelf).await?;
    let sha256 = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(done?.then(|| Fetched { path: format!("{}/{name}", blobs::MODELS), name, bytes: had, sha256 }))
}

/// A name for what is at an address: the one it has already, or one that nothing else has.
async fn free_name(shelf: &FileSystemDirectoryHandle, url: &str) -> io::Result<String> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let mut stem: String = last.chars().take(80).map(plain).collect();
    if stem.trim_matches(['.', '_']).is_empty() || stem.ends_with(NOTES) {
        stem = format!("model-{}", stem.trim_start_matches('.'));
        stem = stem.replace(NOTES, "");
    }
    let taken = names(shelf).await.map_err(error)?;
    for n in 1.. {
        let name = if n == 1 { stem.clone() } else { format!("{n}-{stem}") };
        if !taken.contains(&name) || notes(shelf, &name).await.url == url {
            return Ok(name);
        }
    }
    unreachable!("numbers do not end")
}

impl Fetch<'_> {
    /// Whether it is whole by now; an error leaves what is here, but for what is no model.
    async fn run(&mut self) -> io::Result<bool> {
        if !self.take_stock().await? {
            return Ok(false);
        }
        let mut tries = 0;
        while !self.notes.whole {
            let before = self.had;
            match self.attempt().await? {
                Ended::Whole => {
                    self.notes.whole = true;
                    self.notes.of = Some(self.had);
                }
                Ended::Stopped => {
                    self.handle.flush()?;
                    return Ok(false);
                }
                Ended::Again => {}
                Ended::Broken(why) => {
                    self.handle.flush()?;
                    tries = if self.had > before { 1 } else { tries + 1 };
                    // A server that answers, but not to this page, never will.
                    let closed = self.had == 0 && tries == 1 && answers(self.wanted.url).await;
                    if tries >= TRIES || closed {
                        return Err(self.gone(&why).await);
                    }
                    if !self.wait(1 << (tries - 1), &why).await {
                        return Ok(false);
                    }
                }
            }
        }
        let sum = self.sum.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        if let Some(want) = self.wanted.sha256.filter(|want| !want.trim().eq_ignore_ascii_case(&sum)) {
            return Err(refused(format!("its SHA-256 is {sum}, not {want}: it is damaged or another file, and was deleted")));
        }
        self.handle.flush()?;
        write_notes(&self.shelf, &self.name, &self.notes).await?;
        Ok(true)
    }

    fn say(&mut self, rate: f64, note: &str) {
        let fetching = Fetching { name: self.name.clone(), done: self.had, of: self.notes.of, rate, note: note.into() };
        (self.tell)(fetching);
    }

    /// Looks at what is here already; false if it was stopped meanwhile.
    async fn take_stock(&mut self) -> io::Result<bool> {
        let there = self.handle.bytes()?;
        while self.had < there {
            let piece = read_part(&self.handle, self.had, PIECE)?;
            self.sum.update(&piece);
            self.had += piece.len() as u64;
            self.say(0.0, "looking at what is here already");
            breathe().await;
            if (self.wanted.stop)() {
                return Ok(false);
            }
        }
        self.judge()?;
        Ok(true)
    }

    /// Refuses what is no model, once enough of it is here.
    fn judge(&mut self) -> io::Result<()> {
        while let Some(need) = self.judged_at.filter(|need| self.had >= *need || self.notes.of == Some(self.had) && self.had > 0) {
            match (self.wanted.judge)(&read_part(&self.handle, 0, need)?) {
                Verdict::More(more) if more > need && self.had >= need => self.judged_at = Some(more),
                Verdict::More(_) => return Err(refused("it ends before its header does".into())),
                Verdict::Good => self.judged_at = None,
                Verdict::Bad(what) => return Err(refused(format!("{} is no model: {what}", self.wanted.url))),
            }
        }
        Ok(())
    }

    /// Forgets what is here.
    fn again(&mut self, why: &str) -> io::Result<()> {
        self.handle.resize(0)?;
        (self.had, self.sum, self.judged_at) = (0, Sha256::new(), Some(16));
        self.say(0.0, why);
        Ok(())
    }

    async fn attempt(&mut self) -> io::Result<Ended> {
        let mut response = match Response::ask(self.wanted.url.trim(), self.had).await {
            Ok(response) => response,
            Err(why) => return Ok(Ended::Broken(why)),
        };
        let (length, validator) = (response.length(), response.validator());
        match response.status() {
            206 if self.had > 0 => {
                let same = validator == self.notes.validator && length.zip(self.notes.of).is_none_or(|(rest, of)| self.had + rest == of);
                if !same {
                    response.cancel();
                    self.again("the file has changed on the server: it is fetched from the start")?;
                    return Ok(Ended::Again);
                }
            }
            200 => {
                if self.had > 0 {
                    self.again("this server sends no parts of files: it is fetched from the start")?;
                }
                self.notes.of = length;
                self.notes.validator = validator;
                self.make_room(length).await?;
                write_notes(&self.shelf, &self.name, &self.notes).await?;
            }
            // Nothing is missing, or the file is shorter now.
            416 if self.notes.of == Some(self.had) => return Ok(Ended::Whole),
            416 => {
                self.again("the file has changed on the server: it is fetched from the start")?;
                return Ok(Ended::Again);
            }
            status @ (408 | 425 | 429 | 500..=599) => return Ok(Ended::Broken(format!("the server answers {status}"))),
            status => return Err(io::Error::other(format!("the server answers {status}: there is no such file for everybody. Is the address right?"))),
        }
        let ended = self.receive(&mut response).await;
        response.cancel();
        ended
    }

    async fn receive(&mut self, response: &mut Response) -> io::Result<Ended> {
        let (clock, start) = (Clock::start(), self.had);
        let (mut told, mut silent) = (-TELL, 0);
        loop {
            if (self.wanted.stop)() {
                return Ok(Ended::Stopped);
            }
            match response.next(&mut silent).await {
                Ok(Piece::Bytes(bytes)) => {
                    let bytes = bytes.to_vec();
                    self.handle.write(self.had, &bytes)?;
                    self.sum.update(&bytes);
                    self.had += bytes.len() as u64;
                    self.judge()?;
                }
                Ok(Piece::Later) => {}
                Ok(Piece::End) if self.notes.of.is_none_or(|of| of == self.had) && self.had > 0 => {
                    self.notes.of = Some(self.had);
                    self.judge()?;
                    return Ok(Ended::Whole);
                }
                Ok(Piece::End) => return Ok(Ended::Broken("the server ended before the file did".into())),
                Err(why) => return Ok(Ended::Broken(why)),
            }
            if clock.seconds() - told >= TELL {
                told = clock.seconds();
                let note = if silent > 4 { "waiting for the server" } else { "" };
                self.say((self.had - start) as f64 / told.max(0.1), note);
                breathe().await;
            }
        }
    }

    /// Refuses what there is no room for, with figures.
    async fn make_room(&self, length: Option<u64>) -> io::Result<()> {
        let (used, quota) = estimate().await;
        let free = quota.saturating_sub(used);
        match length {
            Some(length) if quota > 0 && length > free => Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                format!(
                    "it has {:.0} MB, but the browser gives this site {:.0} MB more ({:.0} of {:.0} MB are in use). Delete models or runs here, or free some of the disk",
                    length as f64 / 1e6,
                    free as f64 / 1e6,
                    used as f64 / 1e6,
                    quota as f64 / 1e6
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Waits before the next try; false if it was stopped.
    async fn wait(&mut self, seconds: u32, why: &str) -> bool {
        for left in (1..=seconds).rev() {
            self.say(0.0, &format!("the network broke off ({why}): again in {left} s"));
            for _ in 0..4 {
                rest(0.25).await;
                if (self.wanted.stop)() {
                    return false;
                }
            }
        }
        true
    }

    /// Why it is given up.
    async fn gone(&self, why: &str) -> io::Error {
        let kept = format!("What was fetched is kept ({:.1} MB): choose it again to go on", self.had as f64 / 1e6);
        let problem = if offline() {
            format!("there is no network. {kept}")
        } else if self.had == 0 && answers(self.wanted.url).await {
            "the server does not let pages of other sites read this file (it sends no CORS headers). Download it with the browser and open the file here".into()
        } else if self.had == 0 {
            format!("the server cannot be reached ({why}). Is the address right, and the network there?")
        } else {
            format!("the network is gone ({why}). {kept}")
        };
        io::Error::new(io::ErrorKind::NetworkUnreachable, problem)
    }
}
