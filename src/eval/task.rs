//! Tasks defined in TOML: how a row of a data set becomes a multiple-choice question. Prompts are Jinja templates. Task
//! files are untrusted input: the worst that they can cause is an error.

use super::TaskError;
use crate::assets;
use crate::formats::toml_file;
use crate::jinja::{ErrorKind, Expression, Filter, JinjaError, Json, Options, Syntax, Template, is_space};
use crate::platform;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use toml::Spanned;

/// A metric, under its name in lm-evaluation-harness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Accuracy by log-likelihood.
    Acc,
    /// Accuracy by log-likelihood divided by the choice's length in characters.
    AccNorm,
}

/// A published result of a model on a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedResult {
    /// The model.
    pub model: String,
    /// The result in percent.
    pub value: f64,
}

/// A choice of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerChoice {
    /// The prompt before it.
    pub prompt: String,
    /// The scored text, without the delimiter in front of it.
    pub continuation: String,
}

/// A multiple-choice question made from a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The choices.
    pub choices: Vec<AnswerChoice>,
    /// Index of the correct choice.
    pub gold: usize,
}

/// Expressions for computed fields of a row.
type FieldExpressions = BTreeMap<String, Spanned<String>>;

/// An alternative row format, with other field names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AlternativeRow {
    set: FieldExpressions,
}

/// Choices: fixed for all rows, or an expression.
#[derive(Deserialize)]
#[serde(untagged)]
enum Choices {
    Fixed(Vec<String>),
    Of(String),
}

/// A template or expression and its position in the task file.
#[derive(Clone, Copy)]
struct Snippet<'a> {
    name: &'a str,
    text: &'a str,
    at: usize,
}

impl<'a> Snippet<'a> {
    fn new(name: &'a str, source: &'a Spanned<String>) -> Self {
        Self { name, text: source.get_ref(), at: source.span().start }
    }
}

/// The contents of a task file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    name: String,
    title: Option<String>,
    prompt: Spanned<String>,
    continuation: Option<Spanned<String>>,
    choices: Spanned<Choices>,
    label: Spanned<String>,
    metrics: Vec<Metric>,
    #[serde(default = "space")]
    delimiter: String,
    #[serde(default = "blank_line")]
    between: String,
    #[serde(default)]
    spare_shot: bool,
    #[serde(default)]
    set: FieldExpressions,
    #[serde(default)]
    also: Vec<AlternativeRow>,
    #[serde(default)]
    published: Vec<PublishedResult>,
}

fn space() -> String {
    " ".into()
}

fn blank_line() -> String {
    "\n\n".into()
}

/// Options for templates and expressions: the jinja2 settings of lm-evaluation-harness, with limits about 1,000 times what
/// the built-in tasks need.
const OPTIONS: Options = Options {
    syntax: Syntax { trim_blocks: false, lstrip_blocks: false, keep_trailing_newline: true },
    chat: false,
    strict: true,
    filters: &FILTERS,
    now: platform::now,
    steps: 1_000_000,
    bytes: 64 << 20,
};
const FILTERS: [(&str, Filter); 2] = [("wikihow", |text| Ok(wikihow(text).as_str().into())), ("lettered", lettered)];
/// Maximum bytes of a task file.
const MAX_FILE_BYTES: usize = 1 << 20;

/// A parsed task.
pub struct Task {
    definition: Definition,
    /// The path, for messages.
    path: String,
    text: String,
    prompt: Option<Template>,
    continuation: Option<Template>,
    /// Required fields of a row: in the data set's format, then in each alternative format.
    required: Vec<BTreeSet<String>>,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Task {}", self.name())
    }
}

impl Task {
    /// Opens a built-in task by name, or a `.toml` file.
    pub fn open(name: &str) -> Result<Self, TaskError> {
        if let Some((_, text)) = assets::TASKS.iter().find(|(known, _)| *known == name) {
            return Self::parse(&format!("tasks/{name}.toml"), text);
        }
        if !name.ends_with(".toml") {
            let known = assets::TASKS.map(|(known, _)| known).join(", ");
            return Err(TaskError(format!("unknown task {name}. Built-in tasks: {known}. Other tasks are defined in a .toml file (docs/evaluation.md)")));
        }
        let text = toml_file(Path::new(name)).map_err(|error| TaskError(format!("task: {error}")))?;
        if text.len() > MAX_FILE_BYTES {
            return Err(TaskError(format!("task {name}: the file is longer than {MAX_FILE_BYTES} bytes")));
        }
        Self::parse(name, &text)
    }

    /// Parses a task file and validates all templates and expressions. `path` is for messages.
    pub fn parse(path: &str, text: &str) -> Result<Self, TaskError> {
        let definition: Definition = toml::from_str(text).map_err(|error| TaskError(format!("task {path}: {error}")))?;
        let mut task = Self { definition, path: path.into(), text: text.into(), prompt: None, continuation: None, required: Vec::new() };
        task.check()?;
        let Definition { prompt, continuation, .. } = &task.definition;
        let parse = |source: Snippet<'_>| Template::parse(source.text, OPTIONS).map_err(|error| task.error_at(source, &error));
        let prompt = parse(Snippet::new("prompt", prompt))?;
        let continuation = continuation.as_ref().map(|source| parse(Snippet::new("continuation", source))).transpose()?;
        (task.prompt, task.continuation) = (Some(prompt), continuation);
        task.required = task.required_fields()?;
        Ok(task)
    }

    fn check(&self) -> Result<(), TaskError> {
        let Definition { name, metrics, choices, .. } = &self.definition;
        let problem = |detail: String| Err(TaskError(format!("task {}: {detail}", self.path)));
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) {
            return problem(format!("its name {name:?} must consist of letters, digits, _ and -"));
        }
        if metrics.is_empty() {
            return problem("metrics must name acc, acc_norm, or both".into());
        }
        match choices.get_ref() {
            Choices::Fixed(choices) if choices.len() < 2 => problem(format!("a question needs at least 2 choices, and it has {}", choices.len())),
            _ => Ok(()),
        }
    }

    /// The name, used in results files.
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// The title in tables.
    pub fn title(&self) -> &str {
        self.definition.title.as_deref().unwrap_or(self.name())
    }

    /// The metrics.
    pub fn metrics(&self) -> &[Metric] {
        &self.definition.metrics
    }

    /// The text between a prompt and its continuation.
    pub fn delimiter(&self) -> &str {
        &self.definition.delimiter
    }

    /// True if lm-evaluation-harness has no test split for this task, so that it draws one more few-shot example and drops the
    /// evaluated row.
    pub fn spare_shot(&self) -> bool {
        self.definition.spare_shot
    }

    /// Published results.
    pub fn published(&self) -> &[PublishedResult] {
        &self.definition.published
    }

    /// Formats a question with its answer as a few-shot example.
    pub fn shot(&self, question: &Question) -> String {
        let AnswerChoice { prompt, continuation } = &question.choices[question.gold];
        [prompt, self.delimiter(), continuation, &self.definition.between].concat()
    }

    /// Makes the question of a row.
    pub fn question(&self, row: &serde_json::Map<String, serde_json::Value>) -> Result<Question, TaskError> {
        let Some(kind) = self.required.iter().position(|required| required.iter().all(|field| row.contains_key(field))) else {
            return Err(TaskError(self.missing(row)));
        };
        let mut fields: BTreeMap<String, Json> = row.iter().map(|(name, value)| (name.clone(), value.into())).collect();
        if kind > 0 {
            self.set_fields(&self.definition.also[kind - 1].set, &mut fields)?;
        }
        self.set_fields(&self.definition.set, &mut fields)?;
        let choices = self.choices(&fields)?;
        let gold = self.label(&fields, &choices)?;
        let choice = |choice: &String| {
            fields.insert("choice".into(), choice.as_str().into());
            Ok(AnswerChoice {
                prompt: self.render(self.prompt.as_ref(), Snippet::new("prompt", &self.definition.prompt), &fields)?,
                continuation: match &self.definition.continuation {
                    Some(source) => self.render(self.continuation.as_ref(), Snippet::new("continuation", source), &fields)?,
                    None => choice.clone(),
                },
            })
        };
        Ok(Question { choices: choices.iter().map(choice).collect::<Result<_, TaskError>>()?, gold })
    }

    fn choices(&self, fields: &BTreeMap<String, Json>) -> Result<Vec<String>, TaskError> {
        let source = match self.definition.choices.get_ref() {
            Choices::Fixed(choices) => return Ok(choices.clone()),
            Choices::Of(source) => Snippet { name: "choices", text: source, at: self.definition.choices.span().start },
        };
        let value = self.value(source, fields)?;
        let text = |item: &Json| item.as_str().map(str::to_string);
        let texts = value.as_list().and_then(|items| items.iter().map(text).collect::<Option<Vec<_>>>());
        match texts {
            Some(texts) if texts.len() >= 2 => Ok(texts),
            _ => Err(TaskError(format!("its choices must be a list of at least 2 texts, not {value}"))),
        }
    }

    /// Evaluates the label: a number, its digits, or the text of a choice.
    fn label(&self, fields: &BTreeMap<String, Json>, choices: &[String]) -> Result<usize, TaskError> {
        let value = self.value(Snippet::new("label", &self.definition.label), fields)?;
        let number = match &value {
            Json::Bool(value) => Some(usize::from(*value)),
            Json::Int(value) => usize::try_from(*value).ok(),
            Json::Float(value) if value.fract() == 0.0 && *value >= 0.0 => Some(*value as usize),
            Json::Text(text) => text.parse().ok().or_else(|| choices.iter().position(|choice| choice == text)),
            _ => None,
        };
        number.filter(|&gold| gold < choices.len()).ok_or_else(|| {
            TaskError(format!("its label {value} is none of the {} choices. Rows without answers, as in many test splits, cannot be evaluated", choices.len()))
        })
    }

    /// Adds computed fields to a row. All expressions see the original row.
    fn set_fields(&self, set: &FieldExpressions, fields: &mut BTreeMap<String, Json>) -> Result<(), TaskError> {
        let values = set.iter().map(|(name, source)| Ok((name.clone(), self.value(Snippet::new(name, source), fields)?)));
        let values = values.collect::<Result<Vec<_>, TaskError>>()?;
        fields.extend(values);
        Ok(())
    }

    fn value(&self, source: Snippet<'_>, fields: &BTreeMap<String, Json>) -> Result<Json, TaskError> {
        let value = Expression::parse(source.text, OPTIONS).and_then(|expression| expression.eval(&variables(fields)));
        value.map_err(|error| self.error_at(source, &error))
    }

    fn render(&self, template: Option<&Template>, source: Snippet<'_>, fields: &BTreeMap<String, Json>) -> Result<String, TaskError> {
        let text = template.map_or(Ok(String::new()), |template| template.render(&variables(fields)));
        text.map_err(|error| self.error_at(source, &error))
    }

    /// Converts an error of a template or expression, with its line in the task file.
    fn error_at(&self, source: Snippet<'_>, error: &JinjaError) -> TaskError {
        let line = self.text[..source.at.min(self.text.len())].matches('\n').count() + 1;
        let detail = match error.kind {
            ErrorKind::Undefined => "it uses a field that the row does not have",
            _ => error.message.as_str(),
        };
        TaskError(format!("task {}, line {line}: {}: {detail}", self.path, source.name))
    }

    /// Determines the required fields of each row format, by parsing all templates and expressions.
    fn required_fields(&self) -> Result<Vec<BTreeSet<String>>, TaskError> {
        let Definition { choices, label, set, also, .. } = &self.definition;
        let mut required = BTreeSet::new();
        for template in self.prompt.iter().chain(&self.continuation) {
            required.extend(template.variables());
        }
        if let Choices::Of(text) = choices.get_ref() {
            required.extend(self.variables(Snippet { name: "choices", text, at: choices.span().start })?);
        }
        required.extend(self.variables(Snippet::new("label", label))?);
        required.remove("choice");
        let required = self.required_before(required, set)?;
        let others = also.iter().map(|also| self.required_before(required.clone(), &also.set));
        let others = others.collect::<Result<Vec<_>, _>>()?;
        Ok(std::iter::once(required).chain(others).collect())
    }

    /// The fields that are required before the computed fields of `set` are added.
    fn required_before(&self, mut required: BTreeSet<String>, set: &FieldExpressions) -> Result<BTreeSet<String>, TaskError> {
        required.retain(|name| !set.contains_key(name));
        for (name, source) in set {
            required.extend(self.variables(Snippet::new(name, source))?);
        }
        Ok(required)
    }

    fn variables(&self, source: Snippet<'_>) -> Result<BTreeSet<String>, TaskError> {
        Ok(Expression::parse(source.text, OPTIONS).map_err(|error| self.error_at(source, &error))?.variables())
    }

    /// Describes the missing fields of a row, for the closest format.
    fn missing(&self, row: &serde_json::Map<String, serde_json::Value>) -> String {
        let lacks = |required: &BTreeSet<String>| required.iter().filter(|field| !row.contains_key(*field)).cloned().collect::<Vec<_>>();
        let nearest = self.required.iter().map(lacks).min_by_key(Vec::len).unwrap_or_default();
        let kinds = self.required.iter().map(|required| required.iter().cloned().collect::<Vec<_>>().join(", ")).collect::<Vec<_>>().join("; or ");
        format!("it lacks {}. A row of {} has {kinds}", nearest.join(" and "), self.name())
    }
}

fn variables(fields: &BTreeMap<String, Json>) -> Vec<(&str, &Json)> {
    fields.iter().map(|(name, value)| (name.as_str(), value)).collect()
}

/// Cleans texts of HellaSwag as lm-evaluation-harness does, removing WikiHow's markup in brackets.
fn wikihow(text: &str) -> String {
    let text = text.trim_matches(is_space).replace(" [title]", ". ");
    let mut rest = &text[..];
    let mut out = String::with_capacity(text.len());
    while let Some(open) = rest.find('[') {
        let close = rest[open..].find([']', '\n']).map(|close| open + close).filter(|&close| rest[close..].starts_with(']'));
        let (end, after) = close.map_or((open + 1, open + 1), |close| (open, close + 1));
        out.push_str(&rest[..end]);
        rest = &rest[after..];
    }
    (out + rest).replace("  ", " ")
}

/// Splits a text at lines that begin with `A. `, `B. ` and so on; other lines continue the previous one.
fn lettered(text: &str) -> Result<Json, String> {
    let mut texts: Vec<String> = Vec::new();
    for line in text.split('\n') {
        let letter = char::from(b'A' + texts.len().min(25) as u8);
        match (line.strip_prefix(letter).and_then(|line| line.strip_prefix(". ")), texts.last_mut()) {
            (Some(start), _) => texts.push(start.into()),
            (None, Some(last)) => *last = format!("{last}\n{line}"),
            (None, None) => return Err("its choices do not begin with \"A. \"".into()),
        }
    }
    Ok(Json::List(texts.into_iter().map(Json::Text).collect()))
}
