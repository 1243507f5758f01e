//! Access to the page by accessible names, as a screen reader has it.

use super::{Browser, PATIENCE, wait};
use serde_json::{Value, json};
use std::time::Duration;

/// A JavaScript expression for the visible elements of a name.
fn named(name: &str) -> String {
    let name = json!(name);
    format!(
        "[...document.querySelectorAll('[aria-label], button, a, input, textarea, [role]')].filter((it) => (it.getAttribute('aria-label') ?? it.textContent ?? '').trim() === {name} && !it.closest('[hidden]'))"
    )
}

/// Returns true if there is an element of this name.
pub(crate) fn has(browser: &dyn Browser, name: &str) -> Result<bool, String> {
    Ok(browser.script(&format!("return {}.length > 0;", named(name)))? == true)
}

/// Returns true if there is an enabled one.
pub(crate) fn enabled(browser: &dyn Browser, name: &str) -> Result<bool, String> {
    let usable = "(it) => !it.disabled && it.getAttribute('aria-disabled') !== 'true'";
    Ok(browser.script(&format!("return {}.some({usable});", named(name)))? == true)
}

/// Waits for a button and clicks it.
pub(crate) fn press(browser: &dyn Browser, name: &str) -> Result<(), String> {
    let script = format!(
        "const it = {}.find((it) => it.matches('button, a, [role]') && !it.disabled && it.getAttribute('aria-disabled') !== 'true');
        it?.click(); return Boolean(it);",
        named(name)
    );
    wait(&format!("a button {name:?}"), PATIENCE, || Ok((browser.script(&script)? == true).then_some(()))).map_err(|error| with_page_text(browser, error))
}

/// Waits for a field and fills it.
pub(crate) fn fill(browser: &dyn Browser, name: &str, text: &str) -> Result<(), String> {
    let script = format!(
        "const it = {}.find((it) => it.matches('input, textarea'));
        if (it) {{ it.focus(); it.value = {}; it.dispatchEvent(new InputEvent('input', {{ bubbles: true }})); }} return Boolean(it);",
        named(name),
        json!(text)
    );
    wait(&format!("a field {name:?}"), PATIENCE, || Ok((browser.script(&script)? == true).then_some(()))).map_err(|error| with_page_text(browser, error))
}

/// Returns the text of all elements, a line each.
pub(crate) fn text(browser: &dyn Browser) -> Result<String, String> {
    let script = "return [...document.querySelectorAll('#mirror *')].filter((it) => it.children.length === 0).map((it) => it.getAttribute('aria-label') ?? it.textContent).filter(Boolean).join('\\n');";
    Ok(browser.script(script)?.as_str().unwrap_or_default().to_owned())
}

/// Waits for an element whose text contains `part`; returns its line.
pub(crate) fn wait_for_text(browser: &dyn Browser, part: &str, patience: Duration) -> Result<String, String> {
    let found = wait(&format!("{part:?}"), patience, || Ok(text(browser)?.lines().find(|line| line.contains(part)).map(String::from)));
    found.map_err(|error| with_page_text(browser, error))
}

/// Returns the chat messages: speaker and text.
pub(crate) fn conversation(browser: &dyn Browser) -> Result<Vec<(String, String)>, String> {
    let script =
        "return [...document.querySelectorAll('[role=log] > [data-who]')].map((it) => [it.dataset.who, it.textContent.slice(it.dataset.who.length + 2)]);";
    let messages = browser.script(script)?;
    let part = |pair: &Value, n: usize| pair[n].as_str().unwrap_or_default().to_owned();
    Ok(messages.as_array().into_iter().flatten().map(|pair| (part(pair, 0), part(pair, 1))).collect())
}

/// Appends the page's text to an error.
fn with_page_text(browser: &dyn Browser, error: String) -> String {
    let text = text(browser).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    format!("{error}; the page shows: {}", all.join(" | ").chars().take(3000).collect::<String>())
}
