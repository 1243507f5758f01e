//! Chat through the runner: with a student alone, and side by side with a teacher.

use crate::shared::root;
use pollster::block_on;
use signet::data::Tokenizer;
use signet::graph::Machine;
use signet::infer::{Chat, ChatReply, ChatTemplate, Engine, Generator, ModelComparison, compare};
use signet::model::{ChatFormat, ModelFile, Purpose};
use signet::runner::{ChatRequest, Command, Event, GenerateReport, Message, Request, Runner, Sampling, Stop, Stopped};
use std::path::PathBuf;

const CONTEXT: usize = 96;

fn warm(max_tokens: usize) -> Request {
    Request { max_tokens, sampling: Sampling { temperature: 1.0, ..Sampling::GREEDY }, ..Request::default() }
}

fn generator(file: &ModelFile, machine: &mut Machine) -> Generator {
    let weights = file.load(machine, Purpose::Inference(file.storage())).unwrap();
    Generator::new(Engine::new(machine, &weights, CONTEXT).unwrap().with_scores(machine, &weights).unwrap())
}

/// A reply of the embedded student, and its comparison with `teacher`.
fn compared(teacher: &ModelFile) -> (ChatReply, ModelComparison, Tokenizer) {
    let student = ModelFile::embedded_student().unwrap();
    let tokenizer = student.tokenizer.clone().unwrap();
    let mut machine = Machine::cpu();
    let [mut ours, mut theirs] = [&student, teacher].map(|file| generator(file, &mut machine));
    let mut chat = Chat::new(ChatTemplate::new(&ChatFormat::default()).unwrap(), warm(40));
    let mut last = None;
    for text in ["hello there", "and what do you like?"] {
        last = Some(block_on(chat.send(&mut machine, &mut ours, &tokenizer, text, &|| false, &mut |_| {})).unwrap());
    }
    let reply = last.unwrap();
    let comparison = block_on(compare(&mut machine, &mut ours, &mut theirs, &tokenizer, &reply, &|| false)).unwrap().unwrap();
    (reply, comparison, tokenizer)
}

/// Log-probabilities of the next token after each of some tokens, fed one by one.
fn log_probabilities(file: &ModelFile, tokens: &[u32]) -> Vec<Vec<f64>> {
    let mut machine = Machine::cpu();
    let weights = file.load(&mut machine, Purpose::Inference(file.storage())).unwrap();
    let mut engine = Engine::new(&mut machine, &weights, CONTEXT).unwrap();
    let mut row = |token: &u32| {
        let logits: Vec<f64> = block_on(engine.feed(&mut machine, &[*token])).unwrap().into_iter().map(f64::from).collect();
        let total: f64 = logits.iter().map(|x| x.exp()).sum::<f64>().ln();
        logits.into_iter().map(|x| x - total).collect()
    };
    tokens.iter().map(&mut row).collect()
}

#[test]
fn the_divergence_equals_that_of_the_logits() {
    let teacher = ModelFile::embedded_teacher().unwrap();
    let (reply, comparison, tokenizer) = compared(&teacher);
    let tokens = [&reply.prompt[..], &reply.ids].concat();
    let ours = log_probabilities(&ModelFile::embedded_student().unwrap(), &tokens);
    let theirs = log_probabilities(&teacher, &tokens);
    assert_eq!((comparison.turn.len(), comparison.reply.len()), (reply.prompt.len() - reply.turn, reply.ids.len()));
    assert!(reply.turn > 4 && !comparison.turn.is_empty() && comparison.reply.len() > 8, "{reply:?}");
    let mut total = 0.0;
    for (n, token) in comparison.turn.iter().chain(&comparison.reply).enumerate() {
        let at = reply.turn + n;
        let (p, q) = (&theirs[at - 1], &ours[at - 1]);
        let kl: f64 = p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum();
        assert!(token.kl >= 0.0 && (token.kl - kl).abs() < 1e-4 * (1.0 + kl), "token {at}: {} for {kl}", token.kl);
        let id = tokens[at] as usize;
        assert!((token.student_p - q[id].exp()).abs() < 1e-4 && (token.teacher_p - p[id].exp()).abs() < 1e-4, "token {at}: {token:?}");
        total += token.kl;
    }
    assert!(total > 0.1, "a student differs from its teacher: {total}");
    assert_eq!(comparison.reply.iter().map(|token| &token.text[..]).collect::<String>(), reply.text);
    let turn: String = comparison.turn.iter().map(|token| &token.text[..]).collect();
    assert_eq!(turn, tokenizer.decode(&reply.prompt[reply.turn..], false).unwrap());
    assert!(turn.contains("what do you like?"), "{turn}");
}

#[test]
fn a_model_does_not_diverge_from_itself() {
    let (_, comparison, _) = compared(&ModelFile::embedded_student().unwrap());
    for token in comparison.turn.iter().chain(&comparison.reply) {
        // One model's keys and values were written token by token, the other's in chunks.
        assert!(token.kl < 1e-8 && (token.student_p - token.teacher_p).abs() < 1e-5, "{token:?}");
    }
}

/// A runner with a conversation, and its events.
struct Talk {
    runner: Runner,
    events: Vec<Event>,
}

impl Talk {
    fn new() -> Self {
        Self { runner: Runner::new(Stop::default()), events: Vec::new() }
    }

    fn run(&mut self, command: Command) -> Result<(), String> {
        self.events.clear();
        self.runner.run(command, &mut |event| self.events.push(event)).map_err(|error| format!("{error:#}"))
    }

    fn open(&mut self, model: &str, teacher: Option<&str>) -> Result<(), String> {
        self.run(Command::OpenChat(Box::new(request(model, teacher))))
    }

    /// Sends a message and returns the reply.
    fn send(&mut self, text: &str) -> (String, GenerateReport) {
        self.run(Command::SendMessage { text: text.into() }).unwrap();
        let text = self.text(|event| if let Event::Text { text } = event { Some(text) } else { None });
        let report = self.events.iter().find_map(|event| if let Event::Generated(report) = event { Some(*report) } else { None });
        (text, report.expect("a reply is reported"))
    }

    fn say_error(&mut self, text: &str) -> String {
        self.run(Command::SendMessage { text: text.into() }).unwrap_err()
    }

    fn text(&self, of: impl Fn(&Event) -> Option<&String>) -> String {
        self.events.iter().filter_map(of).map(String::as_str).collect()
    }

    fn set(&mut self, messages: &[(&str, &str)]) -> Result<(), String> {
        let messages = messages.iter().map(|(role, text)| Message::new(role, text)).collect();
        self.run(Command::SetChat { messages, request: warm(12) })
    }
}

fn request(model: &str, teacher: Option<&str>) -> ChatRequest {
    ChatRequest {
        model: model.into(),
        snapshot: None,
        teacher: teacher.map(str::to_string),
        device: "cpu".into(),
        context: Some(CONTEXT),
        system: None,
        request: warm(12),
    }
}

#[test]
fn turns_are_edited_and_replies_regenerated() {
    let mut talk = Talk::new();
    assert!(talk.say_error("hi").contains("Select a model first"));
    talk.open("embedded", None).unwrap();
    let (first, _) = talk.send("hello there");
    let (second, report) = talk.send("what do you like?");
    assert_eq!((report.context_used, report.context), (report.prompt_tokens + report.tokens - usize::from(report.stopped == Stopped::EndToken), CONTEXT));
    assert!(report.cached_tokens > 0 && report.prompt_tokens > report.cached_tokens, "{report:?}");
    // Regenerate the last reply: the same draws, from a cache with all but the prompt's last token.
    talk.set(&[("user", "hello there"), ("assistant", &first)]).unwrap();
    let (again, cached) = talk.send("what do you like?");
    assert_eq!((&again, cached.cached_tokens), (&second, report.prompt_tokens - 1));
    // Edit the first turn: later messages are removed.
    talk.set(&[]).unwrap();
    let (_, edited) = talk.send("hello there, my friend");
    assert!(edited.prompt_tokens < report.prompt_tokens);
    // An unknown role and invalid settings change nothing.
    let refused = talk.set(&[("system", "be kind")]).unwrap_err();
    assert!(refused.contains("not system") && refused.contains("Say it as the user"), "{refused}");
    let absurd = Request { sampling: Sampling { temperature: -1.0, ..Sampling::GREEDY }, ..warm(12) };
    assert!(talk.run(Command::SetChat { messages: Vec::new(), request: absurd }).unwrap_err().contains("temperature"));
    let (_, after) = talk.send("and you?");
    assert!(after.cached_tokens > edited.prompt_tokens, "the conversation goes on: {after:?}");
}

#[test]
fn a_teacher_replies_to_the_same_prompt() {
    let mut talk = Talk::new();
    talk.open("embedded", Some("embedded")).unwrap();
    assert_eq!(talk.events.iter().filter(|event| matches!(event, Event::Loaded { .. })).count(), 2);
    let (text, report) = talk.send("hello there");
    let taught = talk.text(|event| if let Event::TeacherText { text } = event { Some(text) } else { None });
    let comparison = talk.events.iter().find_map(|event| if let Event::TokenKl(comparison) = event { Some(comparison) } else { None }).unwrap();
    assert_eq!(comparison.reply.iter().map(|token| &token.text[..]).collect::<String>(), text);
    let theirs = talk.events.iter().find_map(|event| if let Event::TeacherGenerated(report) = event { Some(*report) } else { None }).unwrap();
    assert_eq!(theirs.prompt_tokens, report.prompt_tokens);
    let scratch = Scratch::new("teacher");
    talk.open(&scratch.file("teacher.signet", signet::assets::teacher().unwrap()), None).unwrap();
    let (alone, _) = talk.send("hello there");
    assert_eq!(taught, alone);
}

#[test]
fn an_invalid_model_keeps_the_conversation() {
    let scratch = Scratch::new("bad");
    let mut talk = Talk::new();
    talk.open("embedded", None).unwrap();
    let (_, before) = talk.send("hello there");
    let text = scratch.file("notes.txt", b"milk, eggs");
    let golden = root().join("tests/golden/ad/student");
    let golden = golden.to_str().unwrap();
    for (model, teacher, problem) in [
        (&text[..], None, "notes.txt"),
        ("no/such/model", None, "no such file or directory"),
        (golden, None, "Put tokenizer.json beside it"),
        ("embedded", Some(&text[..]), "the teacher: "),
        ("embedded", Some(golden), "211"),
    ] {
        let refused = talk.open(model, teacher).unwrap_err();
        assert!(refused.contains(problem), "{refused}");
    }
    let refused = talk.open("embedded", Some(golden)).unwrap_err();
    let vocabulary = ModelFile::embedded_student().unwrap().config.vocab_size;
    assert!(refused.contains(&format!("{vocabulary} tokens")) && refused.contains("has 211"), "both sizes are named: {refused}");
    let long = talk.say_error(&"many words ".repeat(100));
    assert!(long.contains("Shorten the prompt"), "{long}");
    let (_, after) = talk.send("and you?");
    assert!(after.cached_tokens >= before.prompt_tokens, "{after:?}");
}

/// A temporary directory, removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("signet-chat-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
