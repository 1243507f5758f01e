//! Chat templates: Jinja as Hugging Face models carry it. A template comes with a file, so it is
//! not trusted: it can spend a limited amount of work and memory, and an error is all it can cause.

use crate::data::python;
use crate::model::ChatFormat;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, Error, ErrorKind, Value, context, syntax::SyntaxConfig};
use serde::{Deserialize, Serialize};
use serde_json::ser::{Formatter, PrettyFormatter};
use std::io::{self, Write};

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `user`, `assistant`, and if the template knows it, `system`.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: &str, content: &str) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A template that could not be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("chat template: {0}")]
pub struct TemplateError(pub String);

/// The template of models trained on the embedded corpus, and of those that bring none.
pub const DEFAULT_TEMPLATE: &str = "{% for m in messages %}\
{% if m.role not in ['user', 'assistant'] %}{{ raise_exception('this model knows the roles user and assistant, not ' ~ m.role ~ '. Say it as the user instead') }}{% endif %}\
<|{{ m.role }}|>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

/// Work and memory a template may spend: some 100 instructions for each of 10,000 messages, and
/// 64 MB.
const FUEL: u64 = 1_000_000;
/// Bytes of a template.
const LONGEST: usize = 1 << 20;

/// A chat template that has been parsed.
pub struct Template {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Template")
    }
}

impl Template {
    /// Parses a model's template; the default one if it brought none.
    pub fn new(format: &ChatFormat) -> Result<Self, TemplateError> {
        let source = format.template.clone().unwrap_or_else(|| DEFAULT_TEMPLATE.into());
        if source.len() > LONGEST {
            return Err(TemplateError(format!("it is {} bytes long; {LONGEST} are allowed", source.len())));
        }
        let mut environment = Environment::new();
        // As transformers sets it.
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(explain)?);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(100);
        environment.set_unknown_method_callback(python::method);
        environment.add_function("raise_exception", |text: String| -> Result<Value, Error> { Err(Error::new(ErrorKind::InvalidOperation, text)) });
        environment.add_filter("tojson", tojson);
        environment.add_template_owned("chat", source).map_err(explain)?;
        let text = |token: &Option<String>| token.clone().unwrap_or_default();
        Ok(Self { environment, bos: text(&format.bos_token), eos: text(&format.eos_token) })
    }

    /// The text of a conversation; `reply` adds what asks the model to speak.
    pub fn render(&self, messages: &[Message], reply: bool) -> Result<String, TemplateError> {
        let values = context! { messages => Value::from(Serde(messages)), add_generation_prompt => reply, bos_token => &self.bos, eos_token => &self.eos };
        self.environment.get_template("chat").and_then(|template| template.render(values)).map_err(explain)
    }
}

/// What a template raised, or what is wrong with it and where.
fn explain(error: Error) -> TemplateError {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_string);
    match (error.kind(), error.line()) {
        (ErrorKind::OutOfFuel, _) => TemplateError("it does too much work; this is no plain template".into()),
        (_, Some(line)) => TemplateError(format!("{detail} (line {line})")),
        (_, None) => TemplateError(detail),
    }
}

/// `tojson` as transformers has it: nothing is escaped for HTML, and `indent` is understood.
fn tojson(value: Value, options: Kwargs) -> Result<String, Error> {
    let mut text = Vec::new();
    let written = match options.get::<Option<usize>>("indent")? {
        Some(indent) => {
            let spaces = vec![b' '; indent.min(16)];
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(&spaces)))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, Spaced)),
    };
    let problem = |problem: String| Error::new(ErrorKind::InvalidOperation, problem);
    written.map_err(|error| problem(error.to_string()))?;
    String::from_utf8(text).map_err(|error| problem(error.to_string()))
}

/// JSON with Python's spaces: after commas and colons.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> Result<Template, TemplateError> {
        Template::new(&ChatFormat { template: Some(source.into()), bos_token: Some("<s>".into()), eos_token: None })
    }

    fn render(source: &str) -> Result<String, TemplateError> {
        template(source)?.render(&[Message::new("user", " Hi there "), Message::new("assistant", "Yo")], true)
    }

    #[test]
    fn the_default_template_is_that_of_the_corpus() {
        let template = Template::new(&ChatFormat::default()).unwrap();
        let messages = [Message::new("user", "a"), Message::new("assistant", "b"), Message::new("user", "c")];
        assert_eq!(template.render(&messages, true).unwrap(), "<|user|>a<|assistant|>b<|user|>c<|assistant|>");
        assert_eq!(template.render(&messages[..2], false).unwrap(), "<|user|>a<|assistant|>b");
        let refused = template.render(&[Message::new("system", "be kind")], true).unwrap_err();
        assert!(refused.0.starts_with("this model knows the roles user and assistant, not system"), "{refused}");
    }

    #[test]
    fn templates_of_other_families_work() {
        let chatml = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe helpful<|im_end|>\n' }}{% endif %}\
            {{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
        let text = render(chatml).unwrap();
        assert!(text.starts_with("<|im_start|>system\nBe helpful<|im_end|>\n<|im_start|>user\n Hi there <|im_end|>\n"), "{text}");
        assert!(text.ends_with("<|im_start|>assistant\n"));
        let llama = "{{ bos_token }}\n{%- set ns = namespace(n=0) %}\n{%- for m in messages %}\n    {%- if m.content.strip().startswith('Hi') and m.get('tool_calls') is none %}\n        {{- m.content.strip() | upper }}\n    {%- endif %}\n    {%- set ns.n = ns.n + 1 %}\n{%- endfor %}{{ ns.n }}{{ messages | length }}{{ m is defined }}";
        assert_eq!(render(llama).unwrap(), "<s>HI THERE22False");
        assert_eq!(
            render("{{ 'a,b,c'.split(',')[-1] }}{{ {'k': [1, 'é<']} | tojson }}{{ 'x y'.title() }}{{ 'abc'[1:] }}").unwrap(),
            "c{\"k\": [1, \"é<\"]}X Ybc"
        );
    }

    #[test]
    fn hostile_templates_are_errors() {
        let mut deep = "{{ ".to_string();
        deep.push_str(&"(".repeat(100_000));
        let hostile = [
            "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}x{% endfor %}{% endfor %}{% endfor %}",
            "{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
            "{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(100) %}{% set ns.x = ns.x.replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa') %}{% endfor %}{{ ns.x }}",
            "{{ 'x' * 9999999999999 }}",
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "{% include 'chat' %}",
            "{{ messages[99].content.foo.bar }}",
            "{{ 1 // 0 }}{{ 1 % 0 }}",
            "{{ 'a'.nothing() }}",
            "{{ 3.get('x') }}",
            "{% if %}",
            "{{ raise_exception('no') }}",
            deep.as_str(),
        ];
        for source in hostile {
            let error = render(source).expect_err(&source[..source.len().min(80)]);
            assert!(!error.0.is_empty());
        }
        assert_eq!(render("a\n{{ raise_exception('only users may speak') }}").unwrap_err().0, "only users may speak (line 2)");
    }
}
