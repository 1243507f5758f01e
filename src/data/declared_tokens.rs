//! Tokens that the JSON files next to a `tokenizer.json` declare: `tokenizer_config.json`, `special_tokens_map.json` and
//! `added_tokens.json`, resolved as `AutoTokenizer` of transformers 5.24 does (`PreTrainedTokenizerFast`).

use super::auto;
use super::tokenizer_class::{ClassSettings, Repeat, TokenizerClass};
use crate::formats::json;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use tokenizers::AddedToken;

/// The special tokens of every tokenizer, in the order in which they are added.
const ROLES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/// Further special tokens: a list, or an object of named tokens.
const EXTRA: &str = "extra_special_tokens";
/// The name of [`EXTRA`] before transformers 5.
const ADDITIONAL: &str = "additional_special_tokens";
/// Special tokens with names of the model's own.
const OWN: &str = "model_specific_special_tokens";
/// Added tokens by id.
const DECODER: &str = "added_tokens_decoder";

/// The most fields of an object, since they are searched linearly.
const MAX_FIELDS: usize = 10_000;

/// The contents of the files next to a `tokenizer.json`; empty for missing files.
#[derive(Clone, Debug, Default)]
pub struct CompanionFiles {
    /// `tokenizer_config.json`.
    pub config: JsonFields,
    /// `special_tokens_map.json`.
    pub special_tokens_map: JsonFields,
    /// `added_tokens.json`.
    pub added_tokens: JsonFields,
    /// The tokenizer class in `config.json`, used if `tokenizer_config.json` has none.
    pub class: Option<String>,
    /// The model type in `config.json`, for which a class may be registered.
    pub model_type: Option<String>,
}

/// The fields of a JSON object in file order: tokens without an id are numbered in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonFields(Vec<(String, JsonField)>);

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum JsonField {
    Object(JsonFields),
    Other(Value),
    /// A token parsed from an object.
    #[serde(skip)]
    Token(DeclaredToken),
}

impl JsonFields {
    /// Parses a JSON object, as Python does.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        json::as_python(bytes, |bytes| serde_json::from_slice(bytes)).map_err(|error: serde_json::Error| error.to_string())
    }

    fn get(&self, name: &str) -> Option<&JsonField> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, field)| field)
    }

    /// Replaces a field in place, or appends it.
    fn set(&mut self, name: &str, field: JsonField) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = field,
            None => self.0.push((name.into(), field)),
        }
    }

    fn remove(&mut self, name: &str) -> Option<JsonField> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }
}

impl<'de> Deserialize<'de> for JsonFields {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = JsonFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonFields, A::Error> {
                let mut fields: Vec<(String, JsonField)> = Vec::new();
                let mut positions = BTreeMap::new();
                while let Some((name, field)) = map.next_entry::<String, JsonField>()? {
                    // For duplicate names, Python keeps the first position and the last value.
                    match positions.get(&name) {
                        Some(&at) => fields[at] = (name, field),
                        None => {
                            positions.insert(name.clone(), fields.len());
                            fields.push((name, field));
                        }
                    }
                }
                Ok(JsonFields(fields))
            }
        }

        reader.deserialize_map(Read)
    }
}

impl JsonField {
    fn is_null(&self) -> bool {
        matches!(self, Self::Other(Value::Null))
    }

    /// Returns true if Python treats the value as true.
    fn is_truthy(&self) -> bool {
        match self {
            Self::Object(fields) => !fields.0.is_empty(),
            Self::Token(_) => true,
            Self::Other(value) => match value {
                Value::Null => false,
                Value::Bool(flag) => *flag,
                Value::Number(number) => number.as_f64() != Some(0.0),
                Value::String(text) => !text.is_empty(),
                Value::Array(list) => !list.is_empty(),
                Value::Object(fields) => !fields.is_empty(),
            },
        }
    }

    fn text(&self) -> Option<&str> {
        let Self::Other(value) = self else { return None };
        value.as_str().filter(|text| json::special_number(text).is_none())
    }

    /// Returns true if transformers treats the value of any field as a token.
    fn is_token(&self) -> bool {
        match self {
            Self::Object(fields) => matches!(fields.get("__type"), Some(Self::Other(kind)) if kind == "AddedToken") && self.token().is_some(),
            Self::Token(_) => true,
            Self::Other(_) => self.text().is_some(),
        }
    }

    /// Parses a token: a text, or an object with `content`.
    fn token(&self) -> Option<DeclaredToken> {
        match self {
            Self::Token(token) => Some(token.clone()),
            Self::Object(fields) => DeclaredToken::read(&|name| match fields.get(name) {
                Some(Self::Other(value)) => value.clone(),
                _ => Value::Null,
            }),
            Self::Other(Value::String(_)) => self.text().map(DeclaredToken::named),
            Self::Other(value) => DeclaredToken::read(&|name| value[name].clone()),
        }
    }

    /// Parses a list of tokens.
    fn list(&self) -> Vec<DeclaredToken> {
        let Self::Other(Value::Array(list)) = self else { return Vec::new() };
        list.iter().filter_map(|value| Self::Other(value.clone()).token()).collect()
    }
}

/// A token whose defaults are not resolved yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct DeclaredToken {
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    /// The opposite of `special` if absent.
    normalized: Option<bool>,
    special: bool,
    /// True if it was given as a plain text.
    plain: bool,
}

impl DeclaredToken {
    /// A special token given as a text.
    fn named(text: &str) -> Self {
        Self { content: text.into(), single_word: false, lstrip: false, rstrip: false, normalized: None, special: true, plain: true }
    }

    /// Parses the fields of a token's object.
    fn read(field: &dyn Fn(&str) -> Value) -> Option<Self> {
        let flag = |name: &str| field(name).as_bool();
        let is = |name: &str| flag(name).unwrap_or(false);
        Some(Self {
            content: field("content").as_str()?.into(),
            single_word: is("single_word"),
            lstrip: is("lstrip"),
            rstrip: is("rstrip"),
            normalized: flag("normalized"),
            special: is("special"),
            plain: false,
        })
    }

    fn of(token: &AddedToken) -> Self {
        let AddedToken { content, single_word, lstrip, rstrip, normalized, special } = token.clone();
        Self { content, single_word, lstrip, rstrip, normalized: Some(normalized), special, plain: false }
    }

    fn added(&self) -> AddedToken {
        let normalized = self.normalized.unwrap_or(!self.special);
        let token = AddedToken::from(self.content.as_str(), self.special).single_word(self.single_word);
        token.lstrip(self.lstrip).rstrip(self.rstrip).normalized(normalized)
    }
}

/// The tokens of the `tokenizer.json` itself.
pub(super) struct FileTokens {
    /// Added tokens by id.
    pub(super) added: BTreeMap<u32, AddedToken>,
    /// The padding token, if it declares one.
    pub(super) pad: Option<String>,
    /// The class that rebuilds the tokenizer without its added tokens, if any.
    pub(super) class: Option<&'static TokenizerClass>,
}

impl FileTokens {
    /// Added tokens that exist before any are added.
    fn existing(&self) -> impl Iterator<Item = &AddedToken> {
        self.added.values().filter(move |_| self.class.is_none())
    }

    /// The default of a special token that no file declares.
    fn special_token(&self, name: &str) -> Option<DeclaredToken> {
        let own = self.class.and_then(|class| class.special_token(name));
        let pad = self.pad.as_deref().filter(|_| name == "pad_token" && self.class.is_none_or(|class| class.uses_file_padding()));
        own.or(pad).map(DeclaredToken::named)
    }
}

/// The result of resolving the files.
pub(super) struct ResolvedTokens {
    /// Tokens to add, in order; existing ones change their properties.
    pub(super) tokens: Vec<AddedToken>,
    /// Special tokens: their names and texts.
    pub(super) named: Vec<(String, String)>,
}

impl CompanionFiles {
    /// Returns true if no file has a field.
    pub(super) fn is_empty(&self) -> bool {
        self.class.is_none()
            && self.model_type.is_none()
            && [&self.config, &self.special_tokens_map, &self.added_tokens].iter().all(|fields| fields.0.is_empty())
    }

    /// The class that rebuilds the tokenizer of a `tokenizer.json`, if the files declare one.
    pub(super) fn class(&self, tokenizer: &[u8]) -> Result<Option<&'static TokenizerClass>, String> {
        let declared = self.config.get("tokenizer_class").and_then(JsonField::text).or(self.class.as_deref());
        auto::class(declared, self.model_type.as_deref(), tokenizer)
    }

    /// The settings of that class.
    pub(super) fn class_settings(&self) -> ClassSettings {
        let flag = |name: &str| self.config.get(name).filter(|field| !field.is_null()).map(JsonField::is_truthy);
        ClassSettings { add_prefix_space: flag("add_prefix_space"), legacy: flag("legacy").unwrap_or(false) }
    }

    /// Returns true if the text of a special token is encoded like any other text.
    pub(super) fn splits_special(&self) -> bool {
        self.config.get("split_special_tokens") == Some(&JsonField::Other(Value::Bool(true)))
    }

    /// Resolves the declarations of the files; errors name the invalid field.
    pub(super) fn resolve(&self, file_tokens: &FileTokens) -> Result<ResolvedTokens, String> {
        for (file, fields) in [("tokenizer_config.json", &self.config), ("special_tokens_map.json", &self.special_tokens_map)] {
            if fields.0.len() > MAX_FIELDS {
                return Err(format!("{file} has {} fields; the limit is {MAX_FIELDS}", fields.0.len()));
            }
        }
        let mut fields = self.config.clone();
        if !fields.get(EXTRA).is_some_and(JsonField::is_truthy)
            && let Some(list) = fields.remove(ADDITIONAL)
        {
            fields.set(EXTRA, list);
        }
        let mut explicit = explicit_tokens(&mut fields)?;
        let decoder = match fields.remove(DECODER) {
            Some(decoder) => by_id(&decoder)?,
            None => self.legacy(&mut fields, &mut explicit, file_tokens)?,
        };
        let known: BTreeMap<&str, &DeclaredToken> = decoder.values().map(|token| (token.content.as_str(), token)).collect();
        let mut special: Vec<(String, DeclaredToken)> = Vec::new();
        for role in ROLES {
            let declared = match fields.get(role) {
                None => file_tokens.special_token(role),
                Some(field) if !field.is_null() => {
                    let token = field.token().ok_or_else(|| format!("{role} is neither a text nor a token"))?;
                    Some(known.get(token.content.as_str()).map_or(token, |token| (*token).clone()))
                }
                Some(_) => None,
            };
            special.extend(declared.map(|token| (role.to_string(), token)));
        }
        let mut own = class_tokens(&mut fields, file_tokens.class);
        let extra = match (fields.get(EXTRA), fields.get(ADDITIONAL)) {
            (Some(list), _) => list.list(),
            (None, more) => more.map_or_else(Vec::new, JsonField::list).into_iter().chain(own.iter().map(|(_, token)| token.clone())).collect(),
        };
        own.extend(own_tokens(&mut fields, &JsonField::is_token));
        overlay(&mut own, explicit);
        special.extend(own);
        Ok(resolved(decoder.into_values().collect(), special, extra, file_tokens))
    }

    /// The tokens by id if there is no `added_tokens_decoder`: `special_tokens_map.json` takes precedence over
    /// `tokenizer_config.json`, and `tokenizer.json` over `added_tokens.json`.
    fn legacy(
        &self, fields: &mut JsonFields, explicit: &mut Vec<(String, DeclaredToken)>, file_tokens: &FileTokens,
    ) -> Result<BTreeMap<u32, DeclaredToken>, String> {
        for (name, field) in &self.special_tokens_map.0 {
            let field = match field {
                JsonField::Object(_) if name.ends_with("_token") => {
                    let token = field.token().ok_or_else(|| format!("special_tokens_map.json: {name} has no content"))?;
                    JsonField::Token(DeclaredToken { special: true, ..token })
                }
                JsonField::Other(Value::Array(more)) if name == EXTRA => {
                    let first = if let Some(JsonField::Other(Value::Array(first))) = fields.get(EXTRA) { &first[..] } else { &[] };
                    let mut seen: HashSet<String> = first.iter().map(Value::to_string).collect();
                    let new = more.iter().filter(|token| seen.insert(token.to_string())).map(special);
                    JsonField::Other(first.iter().cloned().chain(new).collect())
                }
                other => other.clone(),
            };
            fields.set(name, field);
        }
        named_extra(fields, explicit)?;
        let texts = ROLES.iter().filter_map(|role| fields.get(role)).filter_map(|field| match field {
            JsonField::Token(token) => Some(token.content.clone()),
            field => field.text().map(str::to_string),
        });
        // transformers has not parsed the objects in a list of `tokenizer_config.json` when it looks for these texts.
        let listed = fields.get(EXTRA).map_or_else(Vec::new, JsonField::list).into_iter().filter(|token| token.plain);
        let mapped = self.special_tokens_map.get(EXTRA).map_or_else(Vec::new, JsonField::list);
        let special: HashSet<String> = texts.chain(listed.chain(mapped).map(|token| token.content)).collect();
        let mut decoder = BTreeMap::new();
        for (content, id) in &self.added_tokens.0 {
            let JsonField::Other(id) = id else { return Err(format!("added_tokens.json: the id of {content:?} is not a number")) };
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| format!("added_tokens.json: {id} is not an id (of {content:?})"))?;
            let special = special.contains(content);
            decoder.insert(id, DeclaredToken { normalized: Some(!special), special, plain: false, ..DeclaredToken::named(content) });
        }
        decoder.extend(file_tokens.added.iter().map(|(id, token)| (*id, DeclaredToken::of(token))));
        Ok(decoder)
    }
}

/// Marks a token in JSON as special if it is an object.
fn special(token: &Value) -> Value {
    let mut token = token.clone();
    if let Some(fields) = token.as_object_mut() {
        fields.insert("special".into(), true.into());
    }
    token
}

/// Removes from the fields of a `tokenizer_config.json` the special tokens with names of the model's own that are plain
/// texts, or in an object of named tokens, and returns them.
fn explicit_tokens(fields: &mut JsonFields) -> Result<Vec<(String, DeclaredToken)>, String> {
    let mut explicit = own_tokens(fields, &|field| field.text().is_some());
    named_extra(fields, &mut explicit)?;
    match fields.remove(OWN) {
        Some(declared) if explicit.is_empty() => named(&declared, OWN),
        _ => Ok(explicit),
    }
}

/// Moves named extra tokens to those with names of the model's own.
fn named_extra(fields: &mut JsonFields, explicit: &mut Vec<(String, DeclaredToken)>) -> Result<(), String> {
    if let Some(JsonField::Object(_)) = fields.get(EXTRA) {
        let extra = fields.remove(EXTRA).expect("the field was found");
        overlay(explicit, named(&extra, EXTRA)?);
    }
    Ok(())
}

/// Removes and returns the special tokens with names of the class's own; missing ones get the class's defaults.
fn class_tokens(fields: &mut JsonFields, class: Option<&TokenizerClass>) -> Vec<(String, DeclaredToken)> {
    let token = |(name, text): &(&str, &str)| {
        let token = fields.remove(name).map_or_else(|| Some(DeclaredToken::named(text)), |field| field.token());
        token.map(|token| (name.to_string(), token))
    };
    class.map_or(&[][..], |class| class.own).iter().filter_map(token).collect()
}

/// Removes and returns the fields whose names end in `_token`, except those of all tokenizers.
fn own_tokens(fields: &mut JsonFields, of: &dyn Fn(&JsonField) -> bool) -> Vec<(String, DeclaredToken)> {
    let is = |(name, field): &(String, JsonField)| name.ends_with("_token") && !ROLES.contains(&name.as_str()) && of(field);
    let (matching, rest) = std::mem::take(&mut fields.0).into_iter().partition(is);
    fields.0 = rest;
    matching.into_iter().filter_map(|(name, field): (String, JsonField)| Some((name, field.token()?))).collect()
}

/// Parses an object of named tokens.
fn named(tokens: &JsonField, field_name: &str) -> Result<Vec<(String, DeclaredToken)>, String> {
    let JsonField::Object(tokens) = tokens else { return Ok(Vec::new()) };
    if tokens.0.len() > MAX_FIELDS {
        return Err(format!("{field_name} has {} fields; the limit is {MAX_FIELDS}", tokens.0.len()));
    }
    let entry = |(name, field): &(String, JsonField)| {
        let token = field.token().ok_or_else(|| format!("{field_name}: {name} is neither a text nor a token"))?;
        Ok((name.clone(), token))
    };
    tokens.0.iter().map(entry).collect()
}

/// Replaces tokens of the same name in place, and appends the others.
fn overlay(tokens: &mut Vec<(String, DeclaredToken)>, over: Vec<(String, DeclaredToken)>) {
    for (name, token) in over {
        match tokens.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = token,
            None => tokens.push((name, token)),
        }
    }
}

/// Parses an `added_tokens_decoder`.
fn by_id(decoder: &JsonField) -> Result<BTreeMap<u32, DeclaredToken>, String> {
    let JsonField::Object(tokens) = decoder else {
        return if decoder.is_truthy() { Err(format!("{DECODER} is not a JSON object")) } else { Ok(BTreeMap::new()) };
    };
    let entry = |(id, field): &(String, JsonField)| {
        let token = if field.text().is_none() { field.token() } else { None };
        let number = id.trim().parse().map_err(|_| format!("{DECODER}: {id:?} is not an id"))?;
        Ok((number, token.ok_or_else(|| format!("{DECODER}: {id} is not a token with a content"))?))
    };
    tokens.0.iter().map(entry).collect()
}

/// Collects the tokens to add: those with an id first, then new special tokens.
fn resolved(decoder: Vec<DeclaredToken>, special: Vec<(String, DeclaredToken)>, extra: Vec<DeclaredToken>, file_tokens: &FileTokens) -> ResolvedTokens {
    let existing: HashSet<String> = file_tokens.existing().map(|token| &token.content).chain(decoder.iter().map(|token| &token.content)).cloned().collect();
    let named: HashSet<&str> = special.iter().map(|(_, token)| token.content.as_str()).collect();
    let was_special: HashSet<&str> = file_tokens.existing().filter(|token| token.special).map(|token| token.content.as_str()).collect();
    let mut seen = HashSet::new();
    let new = special.iter().map(|(_, token)| token).chain(&extra).filter(|token| !existing.contains(&token.content) && seen.insert(*token));
    let finish = |token: &DeclaredToken| {
        let special = token.special || named.contains(token.content.as_str());
        let normalized = token.normalized.or(Some(!special));
        // In the library, a special token stays special.
        let special = special || was_special.contains(token.content.as_str());
        DeclaredToken { special, normalized, ..token.clone() }.added()
    };
    let second = |token: &DeclaredToken| {
        Some(match file_tokens.class?.repeat? {
            Repeat::Special if !token.plain => DeclaredToken { special: true, ..token.clone() }.added(),
            _ => AddedToken::from(token.content.as_str(), true),
        })
    };
    let repeated = special.iter().map(|(_, token)| token).chain(&extra).filter_map(second);
    let tokens = decoder.iter().chain(new).map(finish).chain(repeated).collect();
    ResolvedTokens { tokens, named: special.into_iter().map(|(name, token)| (name, token.content)).collect() }
}
