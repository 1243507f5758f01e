//! Diff of two element trees, in as few changes as possible. Pure.

use super::element::Element;
use signet::runner::dom::{Change, ElementKey};
use std::collections::{HashMap, HashSet};

/// The elements of the page.
#[derive(Debug, Default)]
pub(super) struct Tree {
    elements: HashMap<ElementKey, Element>,
    /// Children of each element, in order.
    inner: HashMap<ElementKey, Vec<ElementKey>>,
}

/// Progress of comparing a list of children.
#[derive(Default)]
struct Seen {
    /// The previous child.
    last: Option<ElementKey>,
    /// Position in the old list of children.
    at: usize,
    now: Vec<ElementKey>,
}

impl Tree {
    /// Returns an element of the page.
    pub(super) fn get(&self, key: ElementKey) -> Option<&Element> {
        self.elements.get(&key)
    }

    /// Records text that the user typed into a field.
    pub(super) fn typed(&mut self, key: ElementKey, text: String) {
        if let Some(element) = self.elements.get_mut(&key) {
            element.value = Some(text);
        }
    }

    /// Returns the changes from the current elements to `next`, which lists each parent before its children. The
    /// value of the field `draft`, which is being typed into, is not overwritten. `caret` returns a field's caret.
    pub(super) fn update(&mut self, next: Vec<Element>, draft: Option<ElementKey>, caret: impl Fn(ElementKey) -> Option<u32>) -> Vec<Change> {
        let there: HashMap<ElementKey, ElementKey> = next.iter().map(|element| (element.key, element.parent)).collect();
        let mut changes = Vec::new();
        let gone: Vec<ElementKey> = self.elements.keys().copied().filter(|key| !there.contains_key(key)).collect();
        let mut fresh = HashSet::new();
        let mut lists: HashMap<ElementKey, Seen> = HashMap::new();
        for element in next {
            let (key, parent) = (element.key, element.parent);
            let list = lists.entry(parent).or_default();
            let after = list.last.replace(key);
            list.now.push(key);
            let before = self.elements.remove(&key);
            let same = before.as_ref().is_some_and(|before| before.tag == element.tag);
            if !same {
                changes.extend(before.is_some().then_some(Change::Remove { key }));
                changes.push(Change::Make { key, parent, after, tag: element.tag });
                fresh.insert(key);
            } else if fresh.contains(&parent) || !in_order(list, self.inner.get(&parent), key, &there, parent) {
                changes.push(Change::Move { key, parent, after });
            }
            let blank = Element::default();
            let before = before.filter(|_| same).unwrap_or(blank);
            let element = differences(before, element, draft, &caret, &mut changes);
            self.elements.insert(key, element);
        }
        for key in &gone {
            self.elements.remove(key);
            changes.push(Change::Remove { key: *key });
        }
        self.inner = lists.into_iter().map(|(parent, seen)| (parent, seen.now)).collect();
        changes
    }
}

/// True if a child keeps its position among the children that remain.
fn in_order(list: &mut Seen, before: Option<&Vec<ElementKey>>, key: ElementKey, there: &HashMap<ElementKey, ElementKey>, parent: ElementKey) -> bool {
    let Some(before) = before else { return false };
    let still = |child: &ElementKey| there.get(child) == Some(&parent) && !list.now[..list.now.len() - 1].contains(child);
    while before.get(list.at).is_some_and(|child| *child != key && !still(child)) {
        list.at += 1;
    }
    let same = before.get(list.at) == Some(&key);
    list.at += usize::from(same);
    same
}

/// Adds the changes of one element; returns its new state on the page.
fn differences(
    before: Element, mut element: Element, draft: Option<ElementKey>, caret: &impl Fn(ElementKey) -> Option<u32>, changes: &mut Vec<Change>,
) -> Element {
    let key = element.key;
    let find = |element: &Element, name| element.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    for (name, value) in &element.attributes {
        if find(&before, *name).as_ref() != Some(value) {
            changes.push(Change::Attribute { key, name, value: Some(value.clone()) });
        }
    }
    for (name, _) in &before.attributes {
        if find(&element, *name).is_none() {
            changes.push(Change::Attribute { key, name, value: None });
        }
    }
    if before.text != element.text {
        changes.push(Change::Text { key, text: element.text.clone() });
    }
    if draft == Some(key) && before.value.is_some() {
        element.value = before.value;
    } else if let Some(value) = &element.value
        && before.value.as_ref() != Some(value)
    {
        changes.push(Change::Value { key, text: value.clone(), caret: caret(key) });
    }
    if before.bounds != element.bounds {
        changes.push(Change::Put { key, bounds: element.bounds });
    }
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mock page that applies changes.
    #[derive(Default)]
    struct Page(HashMap<ElementKey, Vec<ElementKey>>);

    impl Page {
        fn detach(&mut self, key: ElementKey) {
            self.0.values_mut().for_each(|inner| inner.retain(|child| *child != key));
        }

        fn put(&mut self, key: ElementKey, parent: ElementKey, after: Option<ElementKey>) {
            self.detach(key);
            let inner = self.0.entry(parent).or_default();
            let at = after.map_or(0, |after| 1 + inner.iter().position(|child| *child == after).expect("what it comes after is there"));
            inner.insert(at, key);
        }

        fn apply(&mut self, changes: &[Change]) {
            for change in changes {
                match change {
                    Change::Make { key, parent, after, .. } => {
                        self.0.insert(*key, Vec::new());
                        self.put(*key, *parent, *after);
                    }
                    Change::Move { key, parent, after } => self.put(*key, *parent, *after),
                    Change::Remove { key } => self.detach(*key),
                    _ => {}
                }
            }
        }

        fn flat(&self, parent: ElementKey) -> Vec<(ElementKey, ElementKey)> {
            let inner = self.0.get(&parent).cloned().unwrap_or_default();
            inner.into_iter().flat_map(|child| std::iter::once((child, parent)).chain(self.flat(child))).collect()
        }
    }

    fn element(key: ElementKey, parent: ElementKey) -> Element {
        Element { key, parent, tag: "span", ..Element::default() }
    }

    fn update(tree: &mut Tree, next: Vec<Element>) -> Vec<Change> {
        tree.update(next, None, |_| None)
    }

    #[test]
    fn random_changes_give_the_wanted_tree() {
        let (mut tree, mut page) = (Tree::default(), Page::default());
        let mut state = 1u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for round in 0..500 {
            let mut next: Vec<Element> = Vec::new();
            let mut path = vec![0];
            let mut free: Vec<ElementKey> = (100..120).collect();
            for _ in 0..random(16) {
                let key = free.swap_remove(random(free.len() as u64) as usize);
                path.truncate(1 + random(path.len() as u64) as usize);
                let tag = if random(8) == 0 { "div" } else { "span" };
                next.push(Element { tag, ..element(key, *path.last().unwrap()) });
                path.push(key);
            }
            let wanted: Vec<(ElementKey, ElementKey)> = next.iter().map(|element| (element.key, element.parent)).collect();
            page.apply(&update(&mut tree, next.clone()));
            assert_eq!(page.flat(0), wanted, "round {round}");
            assert_eq!(update(&mut tree, next), [], "nothing changed");
        }
    }

    #[test]
    fn an_inserted_element_moves_no_other() {
        let mut tree = Tree::default();
        update(&mut tree, vec![element(10, 0), element(11, 0), element(12, 0)]);
        let changes = update(&mut tree, vec![element(10, 0), element(20, 0), element(12, 0)]);
        assert_eq!(changes, [Change::Make { key: 20, parent: 0, after: Some(10), tag: "span" }, Change::Remove { key: 11 }]);
    }

    #[test]
    fn texts_are_touched_only_when_they_change() {
        let mut tree = Tree::default();
        let with = |text: &str, role: Option<&str>| Element {
            text: text.into(),
            attributes: role.map(|role| ("role", role.to_string())).into_iter().collect(),
            ..element(10, 0)
        };
        update(&mut tree, vec![with("a", Some("link"))]);
        assert_eq!(update(&mut tree, vec![with("b", Some("link"))]), [Change::Text { key: 10, text: "b".into() }]);
        assert_eq!(update(&mut tree, vec![with("b", None)]), [Change::Attribute { key: 10, name: "role", value: None }]);
    }

    #[test]
    fn typed_text_is_not_written_back_but_its_normal_form_is() {
        let mut tree = Tree::default();
        let with = |value: &str| Element { value: Some(value.into()), tag: "input", ..element(10, 0) };
        update(&mut tree, vec![with("0.80")]);
        tree.typed(10, "0.9".into());
        assert_eq!(tree.update(vec![with("0.90")], Some(10), |_| None), []);
        assert_eq!(tree.update(vec![with("0.90")], None, |_| Some(4)), [Change::Value { key: 10, text: "0.90".into(), caret: Some(4) }]);
        tree.typed(10, "0.901".into());
        assert_eq!(tree.update(vec![with("0.901")], None, |_| None), []);
    }
}
