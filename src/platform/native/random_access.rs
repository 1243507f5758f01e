//! Positioned reads. Files are not memory-mapped: if another process truncates a mapped file, or the disk fails, a
//! signal kills the process, while a read returns an error.

use super::file_read::regular;
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

/// A file for positioned reads.
#[derive(Debug)]
pub struct RandomAccessFile {
    file: File,
    bytes: u64,
}

impl RandomAccessFile {
    /// Opens a regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = regular(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes })
    }

    /// Bytes of the file when it was opened.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads a range; fails if the file does not have it.
    pub fn part(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        let short = || io::Error::new(io::ErrorKind::UnexpectedEof, "it ends before these bytes");
        if range.start > range.end || range.end > self.bytes {
            return Err(short());
        }
        let count = usize::try_from(range.end - range.start).map_err(|_| short())?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(count)?;
        bytes.resize(count, 0);
        read_exact_at(&self.file, &mut bytes, range.start).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => short(),
            _ => error,
        })?;
        Ok(Cow::Owned(bytes))
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => (bytes, at) = (&mut bytes[read..], at + read as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_file_gives_an_error() {
        let path = std::env::temp_dir().join(format!("signet-cut-{}", std::process::id()));
        std::fs::write(&path, [7; 1 << 16]).unwrap();
        let file = RandomAccessFile::open(&path).unwrap();
        assert_eq!(file.part(65_530..65_536).unwrap()[..], [7; 6]);
        assert!(file.part(65_530..65_537).is_err() && file.part(u64::MAX - 1..u64::MAX).is_err());
        File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
        assert_eq!(file.part(65_530..65_536).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(file.part(0..100).unwrap().len(), 100);
        std::fs::remove_file(&path).unwrap();
    }
}
