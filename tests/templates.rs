//! Chat templates compared with jinja2 as configured by transformers: `templates/cases.jsonl` has the expected values, made
//! by `templates/make.py`.

use signet::infer::{ChatTemplate, Message, TemplateVariables};
use signet::jinja::Json;
use signet::model::ChatFormat;

const CASES: &str = include_str!("templates/cases.jsonl");

fn json(line: &str) -> Json {
    serde_json::from_str(line).expect("a line of JSON")
}

fn text<'a>(value: &'a Json, key: &str) -> &'a str {
    value.get(key).and_then(Json::as_str).expect("a text")
}

fn render(template: &str, input: &Json) -> Result<String, String> {
    let get = |key| input.get(key).cloned().unwrap_or_default();
    let messages = input.get("messages").and_then(Json::as_list).expect("messages").iter();
    let messages = messages.map(|message| Message::from_json(message.clone())).collect::<Result<Vec<_>, _>>()?;
    let given = TemplateVariables::new(get("tools"), get("documents"), Json::Null)?;
    let format = ChatFormat::new(template, &[("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "[UNK]")]);
    let template = ChatTemplate::new(&format).map_err(|error| error.0)?;
    template.render_with(&messages, &given, get("add_generation_prompt") == Json::Bool(true)).map_err(|error| error.0)
}

#[test]
fn templates_render_as_in_jinja2() {
    let mut lines = CASES.lines().map(json);
    let head = lines.next().expect("a first line");
    let (mut count, mut wrong) = (0, Vec::new());
    for case in lines {
        count += 1;
        let (name, template) = (text(&case, "name"), text(&case, "template"));
        let input = head.get("inputs").and_then(|inputs| inputs.get(text(&case, "input"))).expect("an input");
        // The last section has templates that jinja2 renders but Signet rejects.
        let right = case.get("text").and_then(Json::as_str).filter(|_| !name.starts_with("Refused"));
        let got = render(template, input);
        if got.as_deref().ok() != right {
            wrong.push(format!("{name}: {template:?}\n  is    {got:?}\n  right {right:?}"));
        }
    }
    assert!(count >= 400, "only {count} cases");
    assert!(wrong.is_empty(), "{} of {count} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
