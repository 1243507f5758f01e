//! The page's accessible elements as data: changes to them, and input events. `web` applies changes and returns
//! events.

/// Identifies an element for its lifetime.
pub type ElementKey = u64;

/// The root element, which is part of the page.
pub const ROOT: ElementKey = 0;

/// The position of an element relative to its parent, and its size, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// From the left.
    pub left: i32,
    /// From the top.
    pub top: i32,
    /// The width.
    pub width: i32,
    /// The height.
    pub height: i32,
}

/// A change to the elements.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Creates an element in `parent`, after `after`, or as the first child.
    Make {
        /// The element.
        key: ElementKey,
        /// The parent.
        parent: ElementKey,
        /// The previous sibling.
        after: Option<ElementKey>,
        /// The HTML tag.
        tag: &'static str,
    },
    /// Moves an element with its children.
    Move {
        /// The element.
        key: ElementKey,
        /// The parent.
        parent: ElementKey,
        /// The previous sibling.
        after: Option<ElementKey>,
    },
    /// Removes an element. Its children are removed or moved by other changes.
    Remove {
        /// The element.
        key: ElementKey,
    },
    /// Sets or removes an attribute.
    Attribute {
        /// The element.
        key: ElementKey,
        /// The attribute.
        name: &'static str,
        /// Its value.
        value: Option<String>,
    },
    /// Replaces an element's content by text.
    Text {
        /// The element.
        key: ElementKey,
        /// The text.
        text: String,
    },
    /// Appends text: a screen reader announces only the new part.
    Append {
        /// The element.
        key: ElementKey,
        /// The text.
        text: String,
    },
    /// Sets the value of a field.
    Value {
        /// The element.
        key: ElementKey,
        /// The value.
        text: String,
        /// The caret in UTF-16 units; `None` keeps it.
        caret: Option<u32>,
    },
    /// Sets the position of an element.
    Put {
        /// The element.
        key: ElementKey,
        /// The position.
        bounds: Bounds,
    },
    /// Focuses an element.
    Focus {
        /// The element.
        key: ElementKey,
    },
}

/// Modifier keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyModifiers {
    /// Shift.
    pub shift: bool,
    /// Control.
    pub ctrl: bool,
    /// Alt.
    pub alt: bool,
    /// Command on a Mac.
    pub meta: bool,
}

/// An input event of an element.
#[derive(Clone, Debug, PartialEq)]
pub enum InputEvent {
    /// A click, by pointer, keyboard or screen reader.
    Click {
        /// The element.
        key: ElementKey,
    },
    /// The element received focus.
    Focus {
        /// The element.
        key: ElementKey,
    },
    /// The focus left all elements.
    Leave,
    /// The value of a field changed.
    Value {
        /// The element.
        key: ElementKey,
        /// The new value.
        text: String,
    },
    /// The selection in a field changed.
    Select {
        /// The element.
        key: ElementKey,
        /// The start of the selection, in UTF-16 units.
        anchor: u32,
        /// The end of the selection, where the caret is.
        focus: u32,
    },
    /// A key was pressed that the app handles.
    Press {
        /// The browser's name: `Enter`, `Escape`, `ArrowUp`.
        name: String,
        /// The modifiers.
        modifiers: KeyModifiers,
    },
    /// An arrow key changes a number by one step.
    Step {
        /// The element.
        key: ElementKey,
        /// True to increase it.
        up: bool,
    },
}

/// Who handles a pressed key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Press {
    /// The browser.
    Browser,
    /// The app.
    App,
    /// A number changes by one step.
    Step {
        /// True to increase it.
        up: bool,
    },
}

/// Decides who handles a key, by the tag and role of the focused element.
pub fn press(tag: &str, role: &str, name: &str, modifiers: KeyModifiers) -> Press {
    let (text, command) = (matches!(tag, "input" | "textarea") && role != "slider", modifiers.ctrl || modifiers.meta);
    match name {
        "Escape" => Press::App,
        // Enter clicks a button; in a field, the app decides.
        "Enter" if text || command => Press::App,
        "1" | "2" | "3" | "4" | "5" if command => Press::App,
        "ArrowUp" | "ArrowDown" if matches!(role, "spinbutton" | "separator") => Press::Step { up: name == "ArrowUp" },
        "ArrowLeft" | "ArrowRight" if role == "separator" => Press::Step { up: name == "ArrowRight" },
        "ArrowUp" | "ArrowDown" | "ArrowLeft" | "ArrowRight" if tag == "button" && modifiers == KeyModifiers::default() => Press::App,
        _ => Press::Browser,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_arrow_keys_and_the_app_handles_enter() {
        let (none, ctrl) = (KeyModifiers::default(), KeyModifiers { ctrl: true, ..KeyModifiers::default() });
        assert_eq!(press("textarea", "", "ArrowUp", none), Press::Browser);
        assert_eq!(press("textarea", "", "Enter", KeyModifiers { shift: true, ..none }), Press::App);
        assert_eq!(press("button", "", "Enter", none), Press::Browser);
        assert_eq!(press("button", "", "Enter", ctrl), Press::App);
        assert_eq!(press("button", "option", "ArrowDown", none), Press::App);
        assert_eq!(press("input", "spinbutton", "ArrowDown", none), Press::Step { up: false });
        assert_eq!(press("input", "slider", "ArrowDown", none), Press::Browser);
        assert_eq!(press("input", "", "Escape", none), Press::App);
        assert_eq!(press("input", "", "a", ctrl), Press::Browser, "selecting all is the field's");
        assert_eq!(press("div", "separator", "ArrowLeft", none), Press::Step { up: false });
        assert_eq!(press("button", "", "Tab", none), Press::Browser, "the order is the page's");
    }
}
