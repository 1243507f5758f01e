//! HTML elements for the nodes of egui's accessibility tree. Pure.

use super::log::{self, CHAT_MESSAGE};
use eframe::egui::accesskit::{Action, Live, Node, NodeId, Role, Toggled, TreeUpdate};
use signet::runner::dom::{Bounds, ElementKey, ROOT};
use std::collections::HashMap;

/// The desired state of an element.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Element {
    pub key: ElementKey,
    /// Its parent.
    pub parent: ElementKey,
    /// Its HTML tag.
    pub tag: &'static str,
    /// Attributes, sorted by name.
    pub attributes: Vec<(&'static str, String)>,
    /// Its text content.
    pub text: String,
    /// The value of an input field.
    pub value: Option<String>,
    pub bounds: Bounds,
}

/// The context of a node in the tree.
#[derive(Clone, Copy)]
struct Within {
    parent: ElementKey,
    /// The parent's upper left corner.
    corner: (f64, f64),
    /// The role of children of a list or a menu.
    item: Option<&'static str>,
}

/// Key of the live region with announcements.
const ANNOUNCED: ElementKey = 2;

/// Returns all elements, parents and earlier siblings first; `scale` is CSS pixels a point.
pub(super) fn elements(update: &TreeUpdate, scale: f64) -> Vec<Element> {
    let nodes: HashMap<NodeId, &Node> = update.nodes.iter().map(|(id, node)| (*id, node)).collect();
    let mut walk = Walk { nodes, scale, elements: Vec::new(), seen: Default::default(), announced: Vec::new() };
    let root = update.tree.as_ref().map_or(NodeId(ROOT), |tree| tree.root);
    walk.children(root, Within { parent: ROOT, corner: (0.0, 0.0), item: None });
    let attributes = vec![("aria-live", "polite".to_string()), ("role", "status".to_string())];
    walk.elements.push(Element { key: ANNOUNCED, tag: "div", attributes, text: walk.announced.join("\n"), ..Element::default() });
    walk.elements
}

struct Walk<'a> {
    nodes: HashMap<NodeId, &'a Node>,
    scale: f64,
    elements: Vec<Element>,
    seen: std::collections::HashSet<NodeId>,
    announced: Vec<String>,
}

impl Walk<'_> {
    fn children(&mut self, id: NodeId, within: Within) {
        let Some(node) = self.nodes.get(&id).copied() else { return };
        for child in node.children() {
            if self.seen.insert(*child) {
                self.node(*child, within);
            }
        }
    }

    fn node(&mut self, id: NodeId, within: Within) {
        let Some(node) = self.nodes.get(&id).copied() else { return };
        // The conversation has its own log; tooltips, text runs and scroll bars have no elements.
        if node.is_hidden() || node.author_id() == Some(CHAT_MESSAGE) || matches!(node.role(), Role::Tooltip | Role::TextRun | Role::ScrollBar) {
            return;
        }
        if matches!(node.live(), Some(Live::Polite | Live::Assertive)) {
            self.announced.extend(self.own_text(node));
        }
        let Some(mut element) = self.element(id, node, within) else { return self.children(id, within) };
        let bounds = node.bounds().unwrap_or_default();
        let corner = (bounds.x0 * self.scale, bounds.y0 * self.scale);
        let pixels = |value: f64| value.round().clamp(-1e6, 1e6) as i32;
        element.bounds = Bounds {
            left: pixels(corner.0 - within.corner.0),
            top: pixels(corner.1 - within.corner.1),
            width: pixels(bounds.width() * self.scale),
            height: pixels(bounds.height() * self.scale),
        };
        let item = match node.role() {
            Role::ListBox => Some("option"),
            Role::Menu => Some("menuitem"),
            _ => None,
        };
        let key = element.key;
        self.elements.push(element);
        self.children(id, Within { parent: key, corner, item });
    }

    /// The text of a node itself.
    fn own_text(&self, node: &Node) -> Option<String> {
        node.label().or(node.value()).map(String::from).filter(|text| !text.trim().is_empty())
    }

    /// A node's accessible name, its own or that of its label.
    fn name(&self, node: &Node) -> Option<String> {
        let own = node.label().map(String::from);
        own.or_else(|| {
            let labels: Vec<String> = node.labelled_by().iter().filter_map(|id| self.own_text(self.nodes.get(id)?)).collect();
            (!labels.is_empty()).then(|| labels.join(" "))
        })
    }

    /// The element of a node; none if only its children are shown.
    fn element(&self, id: NodeId, node: &Node, within: Within) -> Option<Element> {
        let (tag, role) = kind(node.role())?;
        let text = match tag {
            "button" | "h2" | "span" => self.name(node).or_else(|| self.own_text(node)).unwrap_or_default(),
            _ => String::new(),
        };
        if matches!(tag, "span" | "h2") && text.trim().is_empty() {
            return None;
        }
        let role = match (tag, within.item) {
            ("button", Some(item)) => Some(item),
            _ => role,
        };
        let mut element = Element { key: id.0, parent: within.parent, tag, text, ..Element::default() };
        let mut set = |name: &'static str, value: String| element.attributes.push((name, value));
        if let Some(role) = role {
            set("role", role.into());
        }
        match tag {
            "button" if node.role() == Role::ComboBox => {
                self.name(node).into_iter().for_each(|name| set("aria-label", name));
                set("aria-haspopup", "listbox".into());
            }
            "button" | "h2" | "span" => {}
            _ => self.name(node).into_iter().for_each(|name| set("aria-label", name)),
        }
        states(node, role, &mut set);
        if node.role() == Role::ComboBox {
            element.text = node.value().unwrap_or_default().into();
        }
        if matches!(tag, "input" | "textarea") {
            element.value = Some(field(node));
        }
        element.attributes.sort_unstable();
        Some(element)
    }
}

/// The value of a field.
fn field(node: &Node) -> String {
    node.value().map(String::from).or_else(|| node.numeric_value().map(|value| value.to_string())).unwrap_or_default()
}

/// HTML tag and ARIA role; none if only the children of such a node are shown.
fn kind(role: Role) -> Option<(&'static str, Option<&'static str>)> {
    Some(match role {
        Role::Button | Role::DefaultButton | Role::DisclosureTriangle | Role::ColorWell => ("button", None),
        Role::CheckBox => ("button", Some("checkbox")),
        Role::Switch => ("button", Some("switch")),
        Role::RadioButton => ("button", Some("radio")),
        Role::Link => ("button", Some("link")),
        Role::Tab => ("button", Some("tab")),
        Role::ListBoxOption | Role::MenuListOption => ("button", Some("option")),
        Role::MenuItem => ("button", Some("menuitem")),
        Role::ComboBox => ("button", Some("combobox")),
        Role::TextInput | Role::SearchInput | Role::UrlInput | Role::PasswordInput => ("input", None),
        Role::MultilineTextInput => ("textarea", None),
        Role::SpinButton | Role::NumberInput => ("input", Some("spinbutton")),
        Role::Slider => ("input", Some("slider")),
        Role::Splitter => ("div", Some("separator")),
        Role::ProgressIndicator => ("div", Some("progressbar")),
        Role::Image => ("div", Some("img")),
        Role::Heading => ("h2", None),
        Role::Label | Role::Paragraph | Role::Status | Role::Alert => ("span", None),
        Role::Dialog | Role::AlertDialog | Role::Window => ("div", Some("dialog")),
        Role::ListBox => ("div", Some("listbox")),
        Role::Menu => ("div", Some("menu")),
        Role::RadioGroup => ("div", Some("radiogroup")),
        _ => return None,
    })
}

/// Sets the state attributes of a node.
fn states(node: &Node, role: Option<&str>, set: &mut dyn FnMut(&'static str, String)) {
    if let Some(toggled) = node.toggled() {
        let name = match role {
            Some("checkbox" | "radio" | "switch") => "aria-checked",
            Some("option" | "tab") => "aria-selected",
            Some("menuitem") => "aria-current",
            _ => "aria-pressed",
        };
        set(
            name,
            match toggled {
                Toggled::True => "true",
                Toggled::False => "false",
                Toggled::Mixed => "mixed",
            }
            .into(),
        );
    }
    if let Some(expanded) = node.is_expanded() {
        set("aria-expanded", expanded.to_string());
    }
    if node.is_disabled() {
        set("aria-disabled", "true".into());
    }
    if node.is_read_only() {
        set("readonly", String::new());
    }
    if let Some(description) = node.description() {
        set("aria-description", description.into());
    }
    if let Some(placeholder) = node.placeholder().filter(|text| !text.is_empty()) {
        set("placeholder", placeholder.into());
    }
    // Text and headings are not focusable.
    if node.supports_action(Action::Focus) && !matches!(kind(node.role()), Some(("span" | "h2", _))) {
        set("tabindex", if node.is_disabled() { "-1" } else { "0" }.into());
    }
    match node.role() {
        Role::PasswordInput => set("type", "password".into()),
        Role::Slider => set("type", "range".into()),
        Role::SpinButton | Role::NumberInput => set("inputmode", "decimal".into()),
        _ => {}
    }
    numbers(node, set);
}

/// Sets the attributes of a numeric node: bounds, value, step.
fn numbers(node: &Node, set: &mut dyn FnMut(&'static str, String)) {
    let names = if node.role() == Role::Slider { ["min", "max"] } else { ["aria-valuemin", "aria-valuemax"] };
    for (name, value) in names.into_iter().zip([node.min_numeric_value(), node.max_numeric_value()]) {
        if let Some(value) = value {
            set(name, value.to_string());
        }
    }
    if let Some(value) = node.numeric_value() {
        match node.role() {
            Role::Slider => set("step", node.numeric_value_step().map_or("any".into(), |step| step.to_string())),
            _ => set("aria-valuenow", value.to_string()),
        }
    }
}

/// The element that contains the conversation.
pub(super) fn conversation() -> Element {
    let attributes = [("aria-label", "Conversation"), ("aria-live", "polite"), ("role", "log")].map(|(name, value)| (name, value.to_string())).to_vec();
    Element { key: log::LOG, tag: "div", attributes, ..Element::default() }
}
