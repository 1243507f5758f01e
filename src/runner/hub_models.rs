//! Downloads models from the Hugging Face Hub by name (`owner/name`), or finds them in its cache. A model that is complete in
//! the cache is used without network access.

use super::{Event, Stop};
use crate::formats::{json_file, weight_map};
use crate::model::{FORMATS, TEMPLATES, WEIGHTS, format_by_name};
use crate::platform::{self, DownloadProgress, HUB, Hub};
use anyhow::{Context, Result, anyhow, bail};
use std::path::{Path, PathBuf};

/// Optional files beside the weights.
pub(super) const COMPANION_FILES: [&str; 6] =
    ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "generation_config.json", "chat_template.jinja"];

/// Returns true if `name` has the form of a repository name on Hugging Face and is not a local path.
pub(super) fn is_repo_name(name: &str) -> bool {
    let part = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
        part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(plain) && !part.contains("..") && part.len() <= 96
    };
    let file = format_by_name(name).is_some() || [".bin", ".json", ".toml"].iter().any(|ending| name.ends_with(ending));
    name.split_once('/').is_some_and(|(owner, model)| part(owner) && part(model)) && !file && !platform::exists(Path::new(name))
}

/// Returns the directory of a model that is complete in the cache.
pub(super) fn cached(hub: &Hub, name: &str) -> Option<PathBuf> {
    let folder = hub.snapshot_dir(name)?;
    let files = platform::list(&folder).ok()?;
    let shards = |index: &str| {
        let text = json_file(&folder.join(index), platform::SETTINGS_LIMIT).ok()??;
        Some(weight_map(&text).ok()?.into_values().collect::<Vec<_>>())
    };
    let needed = match weights(&files).ok()? {
        index if index.ends_with(".json") => shards(index)?,
        single => vec![single.to_string()],
    };
    let whole = needed.iter().map(String::as_str).chain(["config.json"]).all(|file| platform::is_file(&folder.join(file)));
    whole.then_some(folder)
}

/// Returns true for an additional chat template.
fn is_template(file: &str) -> bool {
    let name = file.strip_prefix(TEMPLATES).and_then(|file| file.strip_prefix('/')).and_then(|file| file.strip_suffix(".jinja"));
    name.is_some_and(|name| !name.contains('/'))
}

/// Returns the error for a model that does not exist locally, with the commands that download it.
pub(super) fn not_found(name: &str) -> anyhow::Error {
    let problem = format!("cannot open {name}: no such file or directory");
    if !is_repo_name(name) {
        return anyhow!(problem);
    }
    let folder = name.split('/').next_back().unwrap_or(name);
    let fetch = format!("hf download {name} --local-dir {folder} --include '*config.json' '*token*.json' '*.jinja' '*.safetensors*'");
    let how = if HUB { format!("run `signet inspect {name}`, or ") } else { String::new() };
    anyhow!(
        "{problem}. To download it from Hugging Face, {how}run `{fetch}` (from `pip install huggingface_hub`; '*.bin*' if it has no safetensors) and pass the directory `{folder}`"
    )
}

/// Returns the file of the weights or the index of their shards; safetensors are preferred.
fn weights(files: &[String]) -> Result<&'static str> {
    let found = WEIGHTS.into_iter().find(|name| files.iter().any(|file| file == name));
    let alone = || files.iter().find_map(|file| Some((file, FORMATS.into_iter().find(|format| format.owns(file))?)));
    found.with_context(|| match alone() {
        Some((file, format)) => format!("the repository has only {} weights. Download one, such as {file}, and pass its path", format.name),
        None => format!("the repository has none of the supported weight files ({})", WEIGHTS.join(", ")),
    })
}

/// Downloads the missing files of a model. Does nothing for other names, and in builds without the feature `hub`; opening the
/// model then returns the error.
pub(super) fn fetch(hub: &Hub, name: &str, stop: &Stop, emit: &mut dyn FnMut(Event)) -> Result<()> {
    if !HUB || !is_repo_name(name) || cached(hub, name).is_some() {
        return Ok(());
    }
    let failed = || format!("cannot open {name}: not found locally, and the download from Hugging Face failed");
    let listing = hub.list(name).with_context(failed)?;
    let has = |file: &str| listing.files.iter().any(|there| there == file);
    if !has("config.json") {
        bail!("cannot download {name}: the Hugging Face repository has no config.json");
    }
    let weights = weights(&listing.files).with_context(|| format!("cannot download {name} from Hugging Face"))?;
    let mut get = |file: &str| {
        let mut report_progress =
            |at: DownloadProgress| emit(Event::Fetching { name: format!("{name}/{}", at.name), done: at.done, of: at.of, rate: at.rate, note: at.note });
        let path = hub.fetch(name, &listing, file, &|| stop.is_requested(), &mut report_progress).with_context(|| format!("cannot download {name}: {file}"))?;
        path.with_context(|| format!("download of {name} stopped at {file}. Run the same command to resume it"))
    };
    get("config.json")?;
    let templates = listing.files.iter().map(String::as_str).filter(|file| is_template(file));
    for file in COMPANION_FILES.into_iter().filter(|file| has(file)).chain(templates) {
        get(file)?;
    }
    let first = get(weights)?;
    if weights.ends_with(".json") {
        let index = platform::read(&first).with_context(|| first.display().to_string())?;
        let mut shards: Vec<String> = weight_map(&index).map_err(|problem| anyhow!("{}: {problem}", first.display()))?.into_values().collect();
        shards.sort();
        shards.dedup();
        for shard in &shards {
            get(shard)?;
        }
    }
    let folder = cached(hub, name).with_context(|| format!("download of {name} is incomplete. Run the same command to resume it"))?;
    emit(Event::Note { text: format!("{name} is in {}", folder.display()) });
    Ok(())
}

#[cfg(test)]
mod tests;
