//! What a page shows of the app beside the picture, as data: changes to its elements, and what people
//! do with them. `web` applies the ones and tells the others.

/// Names an element as long as it is there.
pub type Key = u64;

/// The element that holds all others; it is part of the page.
pub const ROOT: Key = 0;

/// Where an element is: pixels of the page from its parent's corner, and its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// From the left.
    pub left: i32,
    /// From the top.
    pub top: i32,
    /// How wide it is.
    pub width: i32,
    /// How high it is.
    pub height: i32,
}

/// A change to the elements.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A new element in `parent`, behind `after`, or first where that is none.
    Make {
        /// The element.
        key: Key,
        /// What it is in.
        parent: Key,
        /// What it comes after.
        after: Option<Key>,
        /// What it is in HTML.
        tag: &'static str,
    },
    /// An element is elsewhere, with all that is in it.
    Move {
        /// The element.
        key: Key,
        /// What it is in.
        parent: Key,
        /// What it comes after.
        after: Option<Key>,
    },
    /// An element goes. What was in it goes or moves by changes of its own.
    Remove {
        /// The element.
        key: Key,
    },
    /// An attribute has a value, or none any more.
    Attribute {
        /// The element.
        key: Key,
        /// The attribute.
        name: &'static str,
        /// Its value.
        value: Option<String>,
    },
    /// An element has this text and nothing else.
    Text {
        /// The element.
        key: Key,
        /// The text.
        text: String,
    },
    /// Text is added behind what is there: a screen reader says only what is new.
    Append {
        /// The element.
        key: Key,
        /// The text.
        text: String,
    },
    /// A field contains this.
    Value {
        /// The element.
        key: Key,
        /// What it contains.
        text: String,
        /// Where the caret is, in UTF-16 units; it stays where it is not known.
        caret: Option<u32>,
    },
    /// Where an element is.
    Put {
        /// The element.
        key: Key,
        /// The place.
        place: Place,
    },
    /// The keyboard is an element's.
    Focus {
        /// The element.
        key: Key,
    },
}

/// Keys held beside another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Shift.
    pub shift: bool,
    /// Control.
    pub ctrl: bool,
    /// Alt.
    pub alt: bool,
    /// The command key of a Mac.
    pub meta: bool,
}

/// What somebody did with an element.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// Clicked it, by a pointer, a key or a screen reader.
    Click {
        /// The element.
        key: Key,
    },
    /// Went to it.
    Focus {
        /// The element.
        key: Key,
    },
    /// Left it for something else than an element.
    Leave,
    /// Changed what a field contains.
    Value {
        /// The element.
        key: Key,
        /// What it contains now.
        text: String,
    },
    /// Selected a part of a field's text.
    Select {
        /// The element.
        key: Key,
        /// Where the selection began, in UTF-16 units.
        anchor: u32,
        /// Where it ends, which is where the caret is.
        focus: u32,
    },
    /// Pressed a key that is the app's.
    Press {
        /// As the browser calls it: `Enter`, `Escape`, `ArrowUp`.
        name: String,
        /// With what.
        held: Held,
    },
    /// Pressed an arrow that changes a number by one.
    Step {
        /// The element.
        key: Key,
        /// Whether it becomes greater.
        up: bool,
    },
}

/// What the browser does with a key pressed on an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Press {
    /// As it likes.
    Browser,
    /// Nothing: the app is told.
    App,
    /// Nothing: a number changes by one.
    Step {
        /// Whether it becomes greater.
        up: bool,
    },
}

/// Whose a key is, pressed on an element with a tag and a role.
pub fn press(tag: &str, role: &str, name: &str, held: Held) -> Press {
    let (text, command) = (matches!(tag, "input" | "textarea") && role != "slider", held.ctrl || held.meta);
    match name {
        "Escape" => Press::App,
        // A button is clicked by it; a field tells the app, which knows what it means there.
        "Enter" if text || command => Press::App,
        "1" | "2" | "3" | "4" | "5" if command => Press::App,
        "ArrowUp" | "ArrowDown" if matches!(role, "spinbutton" | "separator") => Press::Step { up: name == "ArrowUp" },
        "ArrowLeft" | "ArrowRight" if role == "separator" => Press::Step { up: name == "ArrowRight" },
        "ArrowUp" | "ArrowDown" | "ArrowLeft" | "ArrowRight" if tag == "button" && held == Held::default() => Press::App,
        _ => Press::Browser,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_arrows_and_the_app_hears_enter() {
        let (none, ctrl) = (Held::default(), Held { ctrl: true, ..Held::default() });
        assert_eq!(press("textarea", "", "ArrowUp", none), Press::Browser);
        assert_eq!(press("textarea", "", "Enter", Held { shift: true, ..none }), Press::App);
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
