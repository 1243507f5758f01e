//! Tests of the server: ordinary, range and malicious requests.

use super::*;

/// Serves two folders, with a secret file outside both.
fn served(name: &str) -> (Server, PathBuf) {
    let root = std::env::temp_dir().join(format!("signet-server-{name}-{}", std::process::id()));
    std::fs::create_dir_all(root.join("page/sub")).unwrap();
    for (path, text) in [("page/index.html", "<p>"), ("page/a b.js", "0123456789"), ("page/sub/x.wasm", "w"), ("page/.hidden", "h"), ("secret", "s")] {
        std::fs::write(root.join(path), text).unwrap();
    }
    (Server::start(Site::new("some/path", &root.join("page")), 0).unwrap(), root)
}

/// Sends a request; returns status, head and body of the response.
fn ask(server: &Server, method: &str, path: &str, headers: &str) -> (u16, Head, String) {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").unwrap();
    let mut input = BufReader::new(stream);
    let head = Head::read(&mut input).unwrap().unwrap();
    let body = if method == "HEAD" { Vec::new() } else { head.body(&mut input).unwrap() };
    (head.first[9..12].parse().unwrap(), head, String::from_utf8(body).unwrap())
}

#[test]
fn files_are_served_below_their_path_and_nothing_else() {
    let (server, root) = served("paths");
    assert_eq!(server.url(), format!("http://127.0.0.1:{}/some/path/", server.address.port()));
    for (path, kind, text) in [
        ("/some/path/", "text/html; charset=utf-8", "<p>"),
        ("/some/path/a%20b.js?query", "text/javascript; charset=utf-8", "0123456789"),
        ("/some/path/sub/x.wasm", "application/wasm", "w"),
    ] {
        let (status, head, body) = ask(&server, "GET", path, "");
        assert_eq!((status, head.header("content-type"), body.as_str()), (200, Some(kind), text), "{path}");
    }
    for path in [
        "/",
        "/some/path",
        "/index.html",
        "/some/path/none",
        "/some/path/sub",
        "/some/path/../secret",
        "/some/path/%2e%2e/secret",
        "/some/path/..%2fsecret",
        "/some/path/..%5csecret",
        "/some/path//../../secret",
        "/some/path/.hidden",
        "/some/path/%ff",
        "/some/path/%",
        "secret",
    ] {
        assert_eq!(ask(&server, "GET", path, "").0, 404, "{path}");
    }
    assert_eq!(ask(&server, "POST", "/some/path/", "").0, 405);
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn ranges_are_served_while_the_file_is_unchanged() {
    let (server, root) = served("ranges");
    let path = "/some/path/a%20b.js";
    let (status, head, body) = ask(&server, "HEAD", path, "");
    assert_eq!((status, head.header("content-length"), head.header("accept-ranges"), body.as_str()), (200, Some("10"), Some("bytes"), ""));
    let tag = head.header("etag").unwrap().to_owned();
    for (range, part, text) in [("0-3", "0-3", "0123"), ("7-", "7-9", "789"), ("8-100", "8-9", "89"), ("-2", "8-9", "89"), ("-99", "0-9", "0123456789")] {
        let (status, head, body) = ask(&server, "GET", path, &format!("Range: bytes={range}\r\nIf-Range: {tag}\r\n"));
        assert_eq!((status, head.header("content-range"), body.as_str()), (206, Some(format!("bytes {part}/10").as_str()), text), "{range}");
    }
    let (status, head, _) = ask(&server, "GET", path, "Range: bytes=10-\r\n");
    assert_eq!((status, head.header("content-range")), (416, Some("bytes */10")));
    for whole in ["Range: bytes=4-2\r\n", "Range: lines=1-2\r\n", "Range: bytes=0-1,4-5\r\n", "Range: bytes=1-2\r\nIf-Range: \"other\"\r\n"] {
        let (status, _, body) = ask(&server, "GET", path, whole);
        assert_eq!((status, body.as_str()), (200, "0123456789"), "{whole}");
    }
    assert_eq!(ask(&server, "GET", path, &format!("If-None-Match: \"x\", {tag}\r\n")).0, 304);
    std::fs::write(root.join("page/a b.js"), "changed").unwrap();
    assert_eq!(ask(&server, "GET", path, &format!("Range: bytes=1-2\r\nIf-Range: {tag}\r\n")).0, 200);
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_body_is_truncated_once_and_a_stopped_server_is_unreachable() {
    let (server, root) = served("cut");
    server.site.cut.store(4, Ordering::SeqCst);
    let mut stream = TcpStream::connect(server.address).unwrap();
    write!(stream, "GET /some/path/a%20b.js HTTP/1.1\r\n\r\n").unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    assert!(all.ends_with("\r\n\r\n0123"), "{all}");
    assert_eq!(ask(&server, "GET", "/some/path/a%20b.js", "").2, "0123456789");
    let address = server.address;
    drop(server);
    // Another test's server may get the same port.
    let gone = || TcpStream::connect(address).is_err();
    assert!((0..100).any(|_| gone() || {
        std::thread::sleep(Duration::from_millis(50));
        false
    }));
    std::fs::remove_dir_all(root).unwrap();
}
