//! The elements that mirror the app: applies changes to the page, and collects input events. They are in the page's
//! element `mirror`, which style.css makes invisible and transparent to pointers.

use crate::platform::dom::{self, Bounds, Change, ElementKey, InputEvent, KeyModifiers, Press, ROOT};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use wasm_bindgen::prelude::*;
use web_sys::{Document, Element, Event, FocusEvent, FocusOptions, HtmlElement, HtmlInputElement, HtmlTextAreaElement, KeyboardEvent, Node, Window};

/// The attribute with an element's key.
const KEY: &str = "data-key";

thread_local! {
    static ELEMENTS: RefCell<HashMap<ElementKey, HtmlElement>> = RefCell::default();
    static EVENTS: RefCell<Vec<InputEvent>> = RefCell::default();
    static WAKE: RefCell<Option<Box<dyn Fn()>>> = RefCell::default();
    /// True while the app itself moves the focus.
    static MOVING: Cell<bool> = const { Cell::new(false) };
}

/// Starts listening to the page's element `mirror`; `wake` is called after each event.
///
/// # Errors
/// If the page has no such element.
pub fn listen(wake: impl Fn() + 'static) -> Result<(), JsValue> {
    let document = document();
    let root: HtmlElement = document.get_element_by_id("mirror").ok_or("the page has no element with the id mirror")?.dyn_into()?;
    ELEMENTS.with_borrow_mut(|elements| elements.insert(ROOT, root.clone()));
    WAKE.set(Some(Box::new(wake)));
    on(&root, "click", |event| {
        if let Some((key, _)) = target(&event) {
            emit(InputEvent::Click { key });
        }
    })?;
    on(&root, "focusin", |event| {
        if let Some((key, _)) = target(&event).filter(|_| !MOVING.get()) {
            emit(InputEvent::Focus { key });
        }
    })?;
    on(&root, "focusout", |event| {
        let to = event.unchecked_ref::<FocusEvent>().related_target().and_then(|to| to.dyn_into::<Element>().ok());
        if !MOVING.get() && key_of(to).is_none() {
            emit(InputEvent::Leave);
        }
    })?;
    on(&root, "input", |event| {
        if let Some((key, element)) = target(&event) {
            emit(InputEvent::Value { key, text: value(&element).unwrap_or_default() });
            select(key, &element);
        }
    })?;
    on(&root, "keydown", |event| pressed(event.unchecked_ref()))?;
    on(&document, "selectionchange", |_| {
        let active = self::document().active_element();
        if let (Some(key), Some(element)) = (key_of(active.clone()), active) {
            select(key, &element);
        }
    })
}

/// Returns the events since the last call.
pub fn take_events() -> Vec<InputEvent> {
    EVENTS.take()
}

/// Applies changes to the page.
pub fn apply(changes: &[Change]) {
    for change in changes {
        // A failed change does not affect the others.
        if let Err(error) = one(change) {
            web_sys::console::warn_2(&format!("{change:?}").into(), &error);
        }
    }
}

fn one(change: &Change) -> Result<(), JsValue> {
    match change {
        Change::Make { key, parent, after, tag } => {
            let element: HtmlElement = document().create_element(tag)?.dyn_into()?;
            element.set_attribute(KEY, &key.to_string())?;
            put(&element, *parent, *after)?;
            ELEMENTS.with_borrow_mut(|elements| elements.insert(*key, element));
        }
        Change::Move { key, parent, after } => put(&get(*key)?, *parent, *after)?,
        Change::Remove { key } => {
            if let Some(element) = ELEMENTS.with_borrow_mut(|elements| elements.remove(key)) {
                element.remove();
            }
        }
        Change::Attribute { key, name, value: Some(value) } => get(*key)?.set_attribute(name, value)?,
        Change::Attribute { key, name, value: None } => get(*key)?.remove_attribute(name)?,
        Change::Text { key, text } => get(*key)?.set_text_content(Some(text)),
        Change::Append { key, text } => _ = get(*key)?.append_child(&document().create_text_node(text))?,
        Change::Value { key, text, caret } => set_value(*key, text, *caret)?,
        Change::Put { key, bounds } => set_bounds(&get(*key)?, *bounds)?,
        Change::Focus { key } => {
            let options = FocusOptions::new();
            options.set_prevent_scroll(true);
            MOVING.set(true);
            let focused = get(*key)?.focus_with_options(&options);
            MOVING.set(false);
            focused?;
        }
    }
    Ok(())
}

fn get(key: ElementKey) -> Result<HtmlElement, JsValue> {
    ELEMENTS.with_borrow(|elements| elements.get(&key).cloned()).ok_or_else(|| "no such element".into())
}

fn put(element: &HtmlElement, parent: ElementKey, after: Option<ElementKey>) -> Result<(), JsValue> {
    let parent = get(parent)?;
    let before: Option<Node> = match after {
        Some(after) => get(after)?.next_sibling(),
        None => parent.first_child(),
    };
    parent.insert_before(element, before.as_ref()).map(drop)
}

fn set_bounds(element: &HtmlElement, bounds: Bounds) -> Result<(), JsValue> {
    let style = element.style();
    for (name, pixels) in [("left", bounds.left), ("top", bounds.top), ("width", bounds.width), ("height", bounds.height)] {
        style.set_property(name, &format!("{pixels}px"))?;
    }
    Ok(())
}

fn set_value(key: ElementKey, text: &str, caret: Option<u32>) -> Result<(), JsValue> {
    // Pending input will reach the app, and then come back.
    if EVENTS.with_borrow(|events| events.iter().any(|event| matches!(event, InputEvent::Value { key: typed, .. } if *typed == key))) {
        return Ok(());
    }
    let element = get(key)?;
    if let Some(input) = element.dyn_ref::<HtmlInputElement>() {
        input.set_value(text);
        if let Some(caret) = caret {
            input.set_selection_range(caret, caret)?;
        }
    } else if let Some(area) = element.dyn_ref::<HtmlTextAreaElement>() {
        area.set_value(text);
        if let Some(caret) = caret {
            area.set_selection_range(caret, caret)?;
        }
    }
    Ok(())
}

fn value(element: &Element) -> Option<String> {
    let input = element.dyn_ref::<HtmlInputElement>().map(HtmlInputElement::value);
    input.or_else(|| element.dyn_ref::<HtmlTextAreaElement>().map(HtmlTextAreaElement::value))
}

/// Emits the selection of a text field; a slider has none.
fn select(key: ElementKey, element: &Element) {
    let range = |start: Result<Option<u32>, JsValue>, end: Result<Option<u32>, JsValue>| Some((start.ok()??, end.ok()??));
    let (range, direction) = if let Some(input) = element.dyn_ref::<HtmlInputElement>() {
        (range(input.selection_start(), input.selection_end()), input.selection_direction())
    } else if let Some(area) = element.dyn_ref::<HtmlTextAreaElement>() {
        (range(area.selection_start(), area.selection_end()), area.selection_direction())
    } else {
        return;
    };
    let Some((start, end)) = range else { return };
    let backward = direction.ok().flatten().is_some_and(|direction| direction == "backward");
    let (anchor, focus) = if backward { (end, start) } else { (start, end) };
    emit(InputEvent::Select { key, anchor, focus });
}

fn pressed(event: &KeyboardEvent) {
    // Input method composition is not passed on until it is done.
    let Some((key, element)) = target(event).filter(|_| !event.is_composing()) else { return };
    let modifiers = KeyModifiers { shift: event.shift_key(), ctrl: event.ctrl_key(), alt: event.alt_key(), meta: event.meta_key() };
    let role = element.get_attribute("role").unwrap_or_default();
    let input = match dom::press(&element.tag_name().to_lowercase(), &role, &event.key(), modifiers) {
        Press::Browser => return,
        Press::App => InputEvent::Press { name: event.key(), modifiers },
        Press::Step { up } => InputEvent::Step { key, up },
    };
    event.prevent_default();
    emit(input);
}

fn emit(event: InputEvent) {
    EVENTS.with_borrow_mut(|events| events.push(event));
    WAKE.with_borrow(|wake| wake.iter().for_each(|wake| wake()));
}

/// The element of an event, and its key.
fn target(event: &Event) -> Option<(ElementKey, Element)> {
    let element: Element = event.target()?.dyn_into().ok()?;
    Some((key_of(Some(element.clone()))?, element))
}

fn key_of(element: Option<Element>) -> Option<ElementKey> {
    element?.get_attribute(KEY)?.parse().ok()
}

/// Adds an event listener for the lifetime of the page.
pub(super) fn on(target: &web_sys::EventTarget, name: &str, on_event: impl Fn(Event) + 'static) -> Result<(), JsValue> {
    let closure = Closure::<dyn Fn(Event)>::new(on_event);
    target.add_event_listener_with_callback(name, closure.as_ref().unchecked_ref())?;
    closure.forget();
    Ok(())
}

/// The page's window.
pub(super) fn window() -> Window {
    web_sys::window().expect("this runs in a page")
}

/// The page's document.
pub(super) fn document() -> Document {
    window().document().expect("a page has a document")
}
