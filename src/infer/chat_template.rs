//! Chat templates of Hugging Face models. A template is untrusted input: its work and memory are limited, and the worst
//! that it can cause is an error.

use crate::formats::json;
use crate::jinja::{self, ErrorKind, Json, Options, Syntax};
use crate::model::{ChatFormat, Templates};
use crate::platform;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A message of a conversation, with all its keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Message(Json);

impl Message {
    /// Makes a message with a role and a text.
    pub fn new(role: &str, content: &str) -> Self {
        Self(Json::Map(vec![("role".into(), role.into()), ("content".into(), content.into())]))
    }

    /// Parses a message of a data set: an object whose content is a text or a list of parts. Image, audio and video parts are
    /// errors.
    pub fn from_json(json: Json) -> Result<Self, String> {
        if !matches!(json, Json::Map(_)) {
            return Err(format!("a message must be an object, not {}", json.kind()));
        }
        for (n, part) in json.get("content").and_then(Json::as_list).unwrap_or_default().iter().enumerate() {
            let kind = part.get("type").and_then(Json::as_str).unwrap_or_default();
            if ["image", "audio", "video"].iter().any(|medium| kind.split('_').any(|word| word == *medium)) {
                return Err(format!("part {} of the content has the type {kind}, which a text model cannot use", n + 1));
            }
        }
        Ok(Self(json))
    }

    /// The role, such as `user`, `assistant` or `system`; empty if absent.
    pub fn role(&self) -> &str {
        self.0.get("role").and_then(Json::as_str).unwrap_or_default()
    }

    /// The message as transformers passes it to a template: without null keys, and with reasoning under its usual names.
    fn normalized(&self) -> Json {
        let Json::Map(entries) = &self.0 else { return self.0.clone() };
        let mut entries: Vec<(String, Json)> = entries.iter().filter(|(_, value)| *value != Json::Null).cloned().collect();
        let find = |entries: &[(String, Json)], name: &str| entries.iter().position(|(key, _)| key == name);
        let reasoning = ["reasoning_content", "thinking", "reasoning"].iter().find_map(|name| find(&entries, name));
        if let Some(reasoning) = reasoning.map(|at| entries[at].1.clone()) {
            let thinking = find(&entries, "thinking").map(|at| entries.remove(at).1);
            entries.insert(0, ("thinking".into(), thinking.unwrap_or_else(|| reasoning.clone())));
            match find(&entries, "reasoning_content") {
                Some(at) => entries[at].1 = reasoning,
                None => entries.push(("reasoning_content".into(), reasoning)),
            }
        }
        Json::Map(entries)
    }
}

/// Variables of a template in addition to messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TemplateVariables {
    /// Tools: a list of JSON schemas, or null.
    pub tools: Json,
    /// Documents for retrieval-augmented generation: a list of objects, or null.
    pub documents: Json,
    /// Other variables by name, or null.
    pub variables: Json,
}

impl TemplateVariables {
    /// Validates the variables of a row of a data set. `tools` may be a list as JSON text; blank text means none.
    pub fn new(tools: Json, documents: Json, variables: Json) -> Result<Self, String> {
        let tools = match tools {
            Json::Text(text) if text.trim().is_empty() => Json::Null,
            Json::Text(text) => {
                let read = json::with_integers(text.as_bytes(), |text| serde_json::from_slice(text));
                read.map_err(|error: serde_json::Error| format!("tools is a string that is not JSON: {error}"))?
            }
            other => other,
        };
        for (name, list) in [("tools", &tools), ("documents", &documents)] {
            let items = list.as_list();
            if items.is_none() && *list != Json::Null {
                return Err(format!("{name} is {}; it must be a list of objects", list.kind()));
            }
            if let Some(item) = items.unwrap_or_default().iter().find(|item| !matches!(item, Json::Map(_))) {
                return Err(format!("{name} has {} in it; each item must be an object", item.kind()));
            }
        }
        if !matches!(variables, Json::Map(_) | Json::Null) {
            return Err(format!("chat_template_kwargs is {}; it must be an object", variables.kind()));
        }
        Ok(Self { tools, documents, variables })
    }
}

/// An error in a chat template.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("chat template: {0}")]
pub struct TemplateError(pub String);

/// The template of the embedded models, and the default for models without one.
pub const DEFAULT_TEMPLATE: &str = "{% for m in messages %}\
{% if m.role not in ['user', 'assistant'] %}{{ raise_exception('this model knows the roles user and assistant, not ' ~ m.role ~ '. Say it as the user instead') }}{% endif %}\
<|{{ m.role }}|>{{ m.content if m.content is string else m.content | map(attribute='text') | join }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

/// Maximum steps and bytes of rendering: hundreds of steps for each of 10,000 messages.
const MAX_STEPS: u64 = 4_000_000;
const MAX_BYTES: u64 = 32 << 20;
/// Maximum bytes of a template's source.
const MAX_SOURCE_BYTES: usize = 1 << 20;

/// The parsed chat templates of a model.
pub struct ChatTemplate {
    /// For conversations without tools.
    plain: Result<jinja::Template, TemplateError>,
    /// For conversations with tools, if it is different.
    with_tools: Option<Result<jinja::Template, TemplateError>>,
    tokens: Vec<(String, Json)>,
    default: bool,
}

impl std::fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Template")
    }
}

impl ChatTemplate {
    /// Parses a model's templates, or the default. With templates by name, a parse error is reported only when that template
    /// is used.
    pub fn new(format: &ChatFormat) -> Result<Self, TemplateError> {
        let (plain, with_tools) = match &format.template {
            None => (Ok(parse(DEFAULT_TEMPLATE)?), None),
            Some(Templates::One(source)) => (Ok(parse(source)?), None),
            Some(Templates::Named(named)) => {
                let plain = named.get(Templates::DEFAULT).map_or_else(|| Err(no_default(named)), |source| parse(source));
                (plain, named.get(Templates::TOOLS).map(|source| parse(source)))
            }
        };
        // Special tokens that a model does not have are undefined.
        let tokens = format.special_tokens.iter().map(|(name, token)| (name.clone(), token.as_str().into()));
        Ok(Self { plain, with_tools, tokens: tokens.collect(), default: format.template.is_none() })
    }

    /// Returns true for the default template.
    pub fn is_default(&self) -> bool {
        self.default
    }

    /// Renders a conversation; `reply` sets `add_generation_prompt`.
    pub fn render(&self, messages: &[Message], reply: bool) -> Result<String, TemplateError> {
        self.render_with(messages, &TemplateVariables::default(), reply)
    }

    /// Renders a conversation with tools, documents and other variables. As in transformers, an empty list of tools selects
    /// the template for tools, too.
    pub fn render_with(&self, messages: &[Message], extra: &TemplateVariables, reply: bool) -> Result<String, TemplateError> {
        let messages = Json::List(messages.iter().map(Message::normalized).collect());
        let reply = reply.into();
        let mut variables: Vec<(&str, &Json)> = self.tokens.iter().map(|(name, token)| (name.as_str(), token)).collect();
        if let Json::Map(others) = &extra.variables {
            variables.extend(others.iter().map(|(name, value)| (name.as_str(), value)));
        }
        variables.extend([("messages", &messages), ("tools", &extra.tools), ("documents", &extra.documents), ("add_generation_prompt", &reply)]);
        let template = self.with_tools.as_ref().filter(|_| extra.tools != Json::Null).unwrap_or(&self.plain);
        let template = template.as_ref().map_err(|error| TemplateError(error.0.clone()))?;
        template.render(&variables).map_err(template_error)
    }
}

/// Parses the source of a template.
fn parse(source: &str) -> Result<jinja::Template, TemplateError> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(TemplateError(format!("it has {} bytes; at most {MAX_SOURCE_BYTES} are allowed", source.len())));
    }
    let syntax = Syntax { trim_blocks: true, lstrip_blocks: true, keep_trailing_newline: false };
    let options = Options { syntax, chat: true, strict: false, filters: &[], now: platform::now, steps: MAX_STEPS, bytes: MAX_BYTES };
    jinja::Template::parse(source, options).map_err(template_error)
}

/// The error if none of several templates is the default.
fn no_default(named: &BTreeMap<String, String>) -> TemplateError {
    let names: Vec<&str> = named.keys().map(String::as_str).collect();
    TemplateError(format!("the model has several templates, but none is called default. Available: {}", names.join(", ")))
}

/// Converts an error of a template, with its line.
fn template_error(error: jinja::JinjaError) -> TemplateError {
    match (error.kind, error.line) {
        (ErrorKind::LimitExceeded, _) | (_, None) => TemplateError(error.message),
        (_, Some(line)) => TemplateError(format!("{} (line {line})", error.message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> Result<ChatTemplate, TemplateError> {
        ChatTemplate::new(&ChatFormat::new(source, &[("bos_token", "<s>")]))
    }

    fn render(source: &str) -> Result<String, TemplateError> {
        template(source)?.render(&[Message::new("user", " Hi there "), Message::new("assistant", "Yo")], true)
    }

    fn message(json: &str) -> Result<Message, String> {
        Message::from_json(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_default_template_is_that_of_the_corpus() {
        let template = ChatTemplate::new(&ChatFormat::default()).unwrap();
        let messages = [Message::new("user", "a"), Message::new("assistant", "b"), Message::new("user", "c")];
        assert_eq!(template.render(&messages, true).unwrap(), "<|user|>a<|assistant|>b<|user|>c<|assistant|>");
        assert_eq!(template.render(&messages[..2], false).unwrap(), "<|user|>a<|assistant|>b");
        let refused = template.render(&[Message::new("system", "be kind")], true).unwrap_err();
        assert!(refused.0.starts_with("this model knows the roles user and assistant, not system"), "{refused}");
        let parts = message(r#"{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}"#).unwrap();
        let silent = message(r#"{"role": "assistant", "content": null}"#).unwrap();
        assert_eq!(template.render(&[parts, silent], false).unwrap(), "<|user|>ab<|assistant|>");
    }

    #[test]
    fn templates_see_all_keys_of_a_message() {
        let source = "{% for m in messages %}{{ m }}{% endfor %}{{ tools }}{{ documents }}{{ x is defined }}";
        let all = message(r#"{"content": null, "role": "assistant", "reasoning": "r", "tool_calls": [{"z": 1.0, "a": null}], "name": null}"#).unwrap();
        let text = "{'thinking': 'r', 'role': 'assistant', 'reasoning': 'r', 'tool_calls': [{'z': 1.0, 'a': None}], 'reasoning_content': 'r'}";
        assert_eq!(template(source).unwrap().render(std::slice::from_ref(&all), false).unwrap(), format!("{text}NoneNoneFalse"));
        let json = |text| serde_json::from_str::<Json>(text).unwrap();
        let extra = TemplateVariables::new(json(r#""[{\"b\": 1}]""#), json(r#"[{"t": "d"}]"#), json(r#"{"x": 2}"#)).unwrap();
        assert_eq!(template(source).unwrap().render_with(&[all], &extra, false).unwrap(), format!("{text}[{{'b': 1}}][{{'t': 'd'}}]True"));
        let parts = message(r#"{"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "y"}, "z"]}"#).unwrap();
        let source = "{% for part in messages[0].content %}{{ part.thinking or part.text or part }}{% endfor %}";
        assert_eq!(template(source).unwrap().render(&[parts], false).unwrap(), "xyz");
    }

    #[test]
    fn blank_tools_are_none() {
        for blank in ["", " \n", "null"] {
            let extra = TemplateVariables::new(blank.into(), Json::Null, Json::Null).unwrap();
            assert_eq!(template("{{ tools is none }}").unwrap().render_with(&[], &extra, false).unwrap(), "True", "{blank:?}");
        }
    }

    #[test]
    fn invalid_messages_and_variables_are_errors() {
        let refused = message(r#"{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image", "url": "u"}]}"#).unwrap_err();
        assert!(refused.contains("part 2") && refused.contains("image"), "{refused}");
        assert!(message("[]").unwrap_err().contains("a list"));
        let json = |text| serde_json::from_str::<Json>(text).unwrap();
        for (tools, documents, variables, problem) in [
            ("3", "null", "null", "tools is a number"),
            ("[3]", "null", "null", "tools has a number"),
            ("\"[\"", "null", "null", "not JSON"),
            ("null", "{}", "null", "documents is an object"),
            ("null", "null", "[]", "chat_template_kwargs is a list"),
        ] {
            let refused = TemplateVariables::new(json(tools), json(documents), json(variables)).unwrap_err();
            assert!(refused.contains(problem), "{refused}");
        }
    }

    #[test]
    fn missing_special_tokens_are_undefined() {
        assert_eq!(render("{{ bos_token }}{{ eos_token is defined }}{{ eos_token }}").unwrap(), "<s>False");
        assert_eq!(render("{{ strftime_now('%Y') | int > 2000 }}").unwrap(), "True");
    }

    #[test]
    fn every_special_token_is_a_variable() {
        let tokens = [("unk_token", "<unk>"), ("pad_token", "<pad>"), ("turn_token", "<turn>"), ("cls_token", "<cls>")];
        let format = ChatFormat::new("{{ unk_token }}{{ pad_token }}{{ turn_token }}{{ cls_token }}{{ sep_token is defined }}", &tokens);
        let template = ChatTemplate::new(&format).unwrap();
        assert_eq!(template.render(&[], false).unwrap(), "<unk><pad><turn><cls>False");
        // The row's variables take precedence, as in transformers.
        let extra = TemplateVariables { variables: Json::Map(vec![("pad_token".into(), "<row>".into())]), ..TemplateVariables::default() };
        assert_eq!(template.render_with(&[], &extra, false).unwrap(), "<unk><row><turn><cls>False");
    }

    #[test]
    fn conversations_with_tools_use_their_template() {
        let named = |names: &[(&str, &str)]| {
            let named = names.iter().map(|(name, source)| (name.to_string(), source.to_string())).collect();
            ChatTemplate::new(&ChatFormat { template: Some(Templates::Named(named)), ..ChatFormat::default() }).unwrap()
        };
        let text = |template: &ChatTemplate, tools: Json| {
            template.render_with(&[], &TemplateVariables { tools, ..TemplateVariables::default() }, false).map_err(|error| error.0)
        };
        let (tool, none) = (|| Json::List(vec![Json::Map(Vec::new())]), || Json::List(Vec::new()));
        let both = named(&[("default", "d"), ("tool_use", "t{{ tools | length }}"), ("rag", "r")]);
        assert_eq!([Json::Null, tool(), none()].map(|tools| text(&both, tools).unwrap()), ["d", "t1", "t0"]);
        let plain = named(&[("default", "d"), ("rag", "r")]);
        assert_eq!(text(&plain, tool()).unwrap(), "d");
        // A parse error matters only to conversations that use the template.
        let tools = named(&[("tool_use", "t"), ("rag", "{{")]);
        assert_eq!(text(&tools, none()).unwrap(), "t");
        let refused = text(&tools, Json::Null).unwrap_err();
        assert!(refused.contains("none is called default. Available: rag, tool_use"), "{refused}");
        assert!(text(&named(&[("default", "{{"), ("tool_use", "t")]), Json::Null).is_err());
    }

    #[test]
    fn appending_to_a_string_is_cheap() {
        let messages: Vec<Message> = (0..800).map(|_| Message::new("user", &"x".repeat(1000))).collect();
        for add in
            ["ns.out ~ m.role ~ ': ' ~ m.content ~ '\\n'", "ns.out + m.role + ': ' + m.content + '\\n'", "[ns.out, m.role, ': ', m.content, '\\n'] | join"]
        {
            let source =
                format!("{{% set ns = namespace(out='') %}}{{% for m in messages %}}{{% set ns.out = {add} %}}{{% endfor %}}{{{{ ns.out | length }}}}");
            assert_eq!(template(&source).unwrap().render(&messages, false).unwrap(), "805600", "{add}");
        }
        let source = "{% set ns = namespace(all=[]) %}{% for i in range(3000) %}{% set ns.all = ns.all + [i] %}{% endfor %}{{ ns.all | length }}";
        assert_eq!(render(source).unwrap(), "3000");
    }

    #[test]
    fn hostile_templates_are_errors() {
        let mut deep = "{{ ".to_string();
        deep.push_str(&"(".repeat(100_000));
        let long = format!("{{{{ 1{} }}}}", " + 1".repeat(100_000));
        let chain = format!("{{{{ x{} }}}}", ".a".repeat(100_000));
        let nested = format!("{}x{}", "{% if true %}".repeat(10_000), "{% endif %}".repeat(10_000));
        let hostile = [
            "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}x{% endfor %}{% endfor %}{% endfor %}",
            "{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
            "{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(100) %}{% set ns.x = ns.x.replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa') %}{% endfor %}{{ ns.x }}",
            "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
            "{% set ns = namespace(x=[1]) %}{% for i in range(150) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
            "{% set ns = namespace(x=(1,)) %}{% for i in range(150) %}{% set ns.x = (ns.x, ns.x) %}{% endfor %}{{ {ns.x: 1} }}",
            "{% set a = namespace(x=[1]) %}{% set b = namespace(x=[1]) %}{% for i in range(150) %}{% set a.x = [a.x, a.x] %}{% set b.x = [b.x, b.x] %}{% endfor %}{{ a.x == b.x }}",
            "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}",
            "{% set ns = namespace(x='a' * 100000, all=[]) %}{% for i in range(2000) %}{% set ns.x = ns.x ~ 'b' %}{% set ns.all = ns.all + [ns.x] %}{% endfor %}",
            "{{ 'x' * 9999999999999 }}",
            "{{ 'x'.center(9999999999999) }}",
            "{{ '%9999999999d' % 1 }}",
            "{{ '{:9999999999}'.format(1) }}",
            "{{ [1] * 9999999999999 }}",
            "{{ 10 ** 10 ** 10 }}",
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
            "{% set ns = namespace() %}{% set ns.ns = ns %}{{ ns }}",
            "{% set ns = namespace(g=['a']) %}{% for i in range(60000) %}{% set ns.g = ns.g | map('string') %}{% endfor %}{{ ns.g | list }}",
            "{% set ns = namespace(g=['a']) %}{% for i in range(60000) %}{% set ns.g = ns.g | map('string') | select %}{% endfor %}{{ 1 in ns.g }}",
            "{% include 'chat' %}",
            "{{ messages[99].content.foo.bar }}",
            "{{ 1 // 0 }}{{ 1 % 0 }}",
            "{{ 'a'.nothing() }}",
            "{{ 3.get('x') }}",
            "{% if %}",
            "{{ raise_exception('no') }}",
            deep.as_str(),
            long.as_str(),
            chain.as_str(),
            nested.as_str(),
        ];
        for source in hostile {
            let error = render(source).expect_err(&source[..source.len().min(80)]);
            assert!(!error.0.is_empty());
        }
        assert_eq!(render("a\n{{ raise_exception('only users may speak') }}").unwrap_err().0, "only users may speak (line 2)");
        // Chains and cycles of containers are dropped without recursion, and long texts are processed in linear time.
        for source in [
            "{{ ('a' * 1000000) | wordwrap(1) | length == 1999999 }}",
            "{{ ('-' * 1000000) | wordwrap | length == 1012658 }}",
            "{{ (' ' * 1000000 ~ 'a') | wordwrap(1) == 'a' }}",
            "{{ '{:01048576,}'.format(1) | length == 1048577 }}",
            "{% set ns = namespace() %}{% set ns.ns = ns %}{{ ns.ns.ns is defined }}",
            "{% set ns = namespace(x=none) %}{% for i in range(20000) %}{% set ns.x = namespace(x=ns.x) %}{% endfor %}True",
            "{% set ns = namespace(x='') %}{% for i in range(20000) %}{% set ns.x = [ns.x].count %}{% endfor %}True",
            "{% set ns = namespace(g=['a']) %}{% for i in range(20000) %}{% set ns.g = ns.g | map('string') %}{% endfor %}True",
            "{% set ns = namespace(x='') %}{% macro f(g) %}{% macro h() %}{{ g }}{% endmacro %}{% set ns.x = h %}{% endmacro %}{% for i in range(9999) %}{{ f(ns.x) }}{% endfor %}True",
        ] {
            assert_eq!(render(source).unwrap(), "True", "{source}");
        }
    }
}
