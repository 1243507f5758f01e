//! Tests of names, file selection and errors; with the feature `hub`, also of a download from a local server.

use super::*;
use crate::runner::{Command, TrainRequest};
use crate::train::{Init, ModelSource, TrainConfig};

fn files(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// A temporary directory, removed on drop.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("signet-hub-{name}-{}", std::process::id()));
        platform::remove_dir(&path).unwrap();
        platform::make_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = platform::remove_dir(&self.0);
    }
}

#[test]
fn repo_names_are_distinguished_from_paths() {
    for name in ["HuggingFaceTB/SmolLM2-135M", "LiqunMa/FBI-LLM_7B", "meta-llama/Llama-3.2-1B"] {
        assert!(is_repo_name(name), "{name}");
    }
    for path in
        ["embedded", "a/b/c", "/etc/model", "../model", "./model", "runs/model.signet", "m/model.gguf", "a/", "/b", "a/b?c", "a/..", "src/runner", "C:/model"]
    {
        assert!(!is_repo_name(path), "{path}");
    }
}

#[test]
fn the_error_of_a_missing_model_has_the_command_that_downloads_it() {
    let problem = not_found("HuggingFaceTB/SmolLM2-135M").to_string();
    assert!(problem.contains("hf download HuggingFaceTB/SmolLM2-135M --local-dir SmolLM2-135M"), "{problem}");
    let problem = not_found("no/such/thing").to_string();
    assert!(!problem.contains("hf download") && problem.contains("no such file"), "{problem}");
}

#[test]
fn additional_templates_are_files_of_a_folder() {
    assert!(is_template("additional_chat_templates/tool_use.jinja"));
    for other in ["chat_template.jinja", "additional_chat_templates/a/b.jinja", "additional_chat_templates.jinja", "additional_chat_templates/README.md"] {
        assert!(!is_template(other), "{other}");
    }
}

#[test]
fn safetensors_are_preferred_to_other_weights() {
    let all = files(&["README.md", "pytorch_model.bin", "model.safetensors.index.json", "model.safetensors", "model.gguf"]);
    assert_eq!(weights(&all).unwrap(), "model.safetensors");
    assert_eq!(weights(&all[..3]).unwrap(), "model.safetensors.index.json");
    assert_eq!(weights(&all[..2]).unwrap(), "pytorch_model.bin");
    assert!(weights(&all[4..]).unwrap_err().to_string().contains("model.gguf"));
    assert!(weights(&all[..1]).unwrap_err().to_string().contains("pytorch_model.bin.index.json"));
}

#[test]
fn a_model_is_cached_once_it_is_complete() {
    let scratch = Scratch::new("kept");
    let hub = Hub { cache: Some(scratch.0.clone()), endpoint: None };
    let model = scratch.0.join("models--a--b");
    let folder = model.join("snapshots/123");
    platform::make_dir(&model.join("refs")).unwrap();
    platform::make_dir(&folder).unwrap();
    let write = |path: &Path, text: &str| platform::write_atomic(path, text.as_bytes()).unwrap();
    assert_eq!(cached(&hub, "a/b"), None);
    write(&model.join("refs/main"), "123");
    write(&folder.join("config.json"), "{}");
    write(&folder.join("model.safetensors.index.json"), r#"{"weight_map": {"x": "1.safetensors", "y": "2.safetensors"}}"#);
    write(&folder.join("1.safetensors"), "");
    assert_eq!(cached(&hub, "a/b"), None);
    write(&folder.join("2.safetensors"), "");
    assert_eq!(cached(&hub, "a/b"), Some(folder));
    // A cached model needs no network access.
    let nowhere = Hub { endpoint: Some("http://127.0.0.1:1".into()), ..hub };
    fetch(&nowhere, "a/b", &Stop::default(), &mut |event| panic!("{event:?}")).unwrap();
}

#[test]
fn a_new_run_downloads_its_models_and_a_resumed_run_none() {
    let config = TrainConfig { teacher: ModelSource::Path("owner/teacher".into()), init: Init::Model("owner/first".into()), ..TrainConfig::default() };
    let models = |resume: bool, config: Option<TrainConfig>| {
        let request = TrainRequest { run: "run".into(), numbered: false, config, resume, from_step: None, device: "cpu".into(), memory: None };
        Command::Train(Box::new(request)).needs().models
    };
    assert_eq!(models(false, Some(config.clone())), ["owner/teacher", "owner/first"]);
    assert!(models(true, None).is_empty());
    // Settings passed again change nothing.
    assert!(models(true, Some(config)).is_empty());
}

#[cfg(feature = "hub")]
mod online {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};

    const FILES: [(&str, &str); 5] = [
        ("config.json", "{\"a\": 1}"),
        ("tokenizer.json", "{}"),
        ("pytorch_model.bin.index.json", r#"{"weight_map": {"x": "1.bin", "y": "2.bin"}}"#),
        ("1.bin", "first"),
        ("2.bin", "second"),
    ];

    /// Answers one request as Hugging Face does; the first request for `2.bin` is cut off.
    fn answer(stream: TcpStream, requested: &Mutex<Vec<String>>) {
        let mut lines = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
        let Some(first) = lines.next() else { return };
        let start = lines.find_map(|line| line.to_lowercase().strip_prefix("range: bytes=")?.split('-').next()?.parse::<usize>().ok()).unwrap_or(0);
        let path = first.split(' ').nth(1).unwrap().to_string();
        let name = path.rsplit('/').next().unwrap();
        let body = match FILES.iter().find(|(file, _)| *file == name) {
            _ if path.contains("/api/") => {
                let list: Vec<_> = FILES.iter().map(|(file, _)| serde_json::json!({ "rfilename": file })).collect();
                serde_json::json!({ "siblings": list, "sha": "abc" }).to_string()
            }
            Some((_, text)) => text.to_string(),
            None => String::new(),
        };
        let earlier = requested.lock().unwrap().iter().filter(|earlier| **earlier == path).count();
        requested.lock().unwrap().push(path.clone());
        let (total, rest) = (body.len(), &body[start.min(body.len())..]);
        // The client first requests one byte, for the length.
        let sent = if name == "2.bin" && earlier == 1 { &rest[..3] } else { rest };
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nETag: \"e-{name}\"\r\nX-Repo-Commit: abc\r\nContent-Range: bytes {start}-{}/{total}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            total.max(1) - 1,
            rest.len()
        );
        let _ = (&stream).write_all(&[head.as_bytes(), sent.as_bytes()].concat());
    }

    #[test]
    fn a_download_completes_although_the_connection_breaks() {
        let scratch = Scratch::new("online");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requested = Arc::new(Mutex::new(Vec::new()));
        let seen = requested.clone();
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| answer(stream, &seen)));
        let hub = Hub { cache: Some(scratch.0.clone()), endpoint: Some(endpoint) };
        let (mut fetched, mut notes) = (Vec::new(), Vec::new());
        fetch(&hub, "owner/model", &Stop::default(), &mut |event| match event {
            Event::Fetching { name, of: Some(of), done, .. } if done == of => fetched.push(name),
            Event::Note { text } => notes.push(text),
            _ => {}
        })
        .unwrap();
        let folder = cached(&hub, "owner/model").unwrap();
        for (name, text) in FILES {
            assert_eq!(platform::read_text(&folder.join(name)).unwrap(), text, "{name}");
        }
        assert!(notes.len() == 1 && notes[0].contains("owner/model is in"), "{notes:?}");
        assert!(fetched.iter().any(|name| name == "owner/model/2.bin"), "{fetched:?}");
        let requests = requested.lock().unwrap().len();
        fetch(&hub, "owner/model", &Stop::default(), &mut |_| {}).unwrap();
        assert_eq!(requested.lock().unwrap().len(), requests, "nothing more is asked for");
    }

    #[test]
    fn an_unreachable_server_is_an_error() {
        let scratch = Scratch::new("nowhere");
        let hub = Hub { cache: Some(scratch.0.clone()), endpoint: Some("http://127.0.0.1:1".into()) };
        let problem = format!("{:#}", fetch(&hub, "owner/model", &Stop::default(), &mut |_| {}).unwrap_err());
        assert!(problem.contains("cannot open owner/model: not found locally") && problem.contains("request error"), "{problem}");
    }
}
