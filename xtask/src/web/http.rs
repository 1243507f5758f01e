//! The part of HTTP/1.1 that the server of `web/dist` and chromedriver need.

use std::io::{BufRead, Read, Write};

/// Maximum length of a line, and maximum number of lines, of a head.
const LINE: u64 = 16 << 10;
const LINES: usize = 200;
/// Maximum bytes of a body; a screenshot fits.
const BODY: usize = 256 << 20;

/// First line and headers of a request or a response, with names in lower case.
pub(crate) struct Head {
    /// `GET /path HTTP/1.1`, or `HTTP/1.1 200 OK`.
    pub(crate) first: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Reads a head; `None` if the connection was closed before it.
    pub(crate) fn read(from: &mut impl BufRead) -> Result<Option<Self>, String> {
        let Some(first) = line(from)? else { return Ok(None) };
        let mut headers = Vec::new();
        while let Some(line) = line(from)? {
            if line.is_empty() {
                return Ok(Some(Self { first, headers }));
            }
            let (name, value) = line.split_once(':').ok_or(format!("a header without a colon: {line:?}"))?;
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            if headers.len() > LINES {
                return Err("too many headers".into());
            }
        }
        Err("the connection ended inside the headers".into())
    }

    /// A header's value; `name` in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Reads the body, with the length in the headers.
    pub(crate) fn body(&self, from: &mut impl Read) -> Result<Vec<u8>, String> {
        let length = self.header("content-length").map_or(Ok(0), |length| length.parse::<usize>().map_err(|_| format!("a length of {length:?}")))?;
        if length > BODY {
            return Err(format!("a body of {length} bytes is too long"));
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body).map_err(|error| format!("a body of {length} bytes: {error}"))?;
        Ok(body)
    }
}

/// Reads a line without its end; `None` at the end of the connection.
fn line(from: &mut impl BufRead) -> Result<Option<String>, String> {
    let mut bytes = Vec::new();
    from.take(LINE).read_until(b'\n', &mut bytes).map_err(|error| error.to_string())?;
    match bytes.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(String::from_utf8_lossy(&bytes).trim_end_matches('\r').to_owned())),
        Some(_) => Err("a line that does not end".into()),
    }
}

/// Writes a first line and headers.
pub(crate) fn write_head(to: &mut impl Write, first: &str, headers: &[(&str, String)]) -> std::io::Result<()> {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    to.write_all(format!("{first}\r\n{lines}\r\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::Head;

    #[test]
    fn request_heads_are_parsed_and_bad_ones_refused() {
        let mut text = &b"GET /a HTTP/1.1\r\nRange: bytes=0-1\r\nContent-Length: 3\r\n\r\nabcdef"[..];
        let head = Head::read(&mut text).unwrap().unwrap();
        assert_eq!((head.first.as_str(), head.header("range")), ("GET /a HTTP/1.1", Some("bytes=0-1")));
        assert_eq!(head.body(&mut text).unwrap(), b"abc");
        assert!(Head::read(&mut &b""[..]).unwrap().is_none());
        for bad in ["GET / HTTP/1.1\r\nno colon\r\n\r\n", "GET / HTTP/1.1\r\n", "GET", &format!("GET /{}", "a".repeat(1 << 15))] {
            assert!(Head::read(&mut bad.as_bytes()).is_err(), "{bad:.40}");
        }
        let mut long = &b"GET / HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n"[..];
        let head = Head::read(&mut long).unwrap().unwrap();
        assert!(head.body(&mut long).unwrap_err().contains("too long"));
    }
}
