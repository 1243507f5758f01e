//! Every tab at a phone's width: nothing is cut off at a side, and every widget scrolls into view when it gets the
//! keyboard focus.

use super::snapshots::{FILLS, Window, open_at};
use eframe::egui::accesskit::{Action, ActionRequest, NodeId, TreeId};
use eframe::egui::{Event, Rect, Theme};
use egui_kittest::kittest::NodeT;
use signet_app::{Environment, Page, Tab};

const SIZE: [f32; 2] = [360.0, 640.0];

/// Id, focusability, name and rectangle of every node with a name.
fn named(window: &Window) -> Vec<(NodeId, bool, String, Rect)> {
    let nodes = window.root().children_recursive().filter_map(|node| {
        let inner = node.accesskit_node();
        let name = inner.label().or_else(|| inner.value()).filter(|name| !name.trim().is_empty())?;
        (inner.role() != eframe::egui::accesskit::Role::TextRun).then(|| {
            let used = inner.data().supports_action(Action::Focus) && !inner.is_disabled();
            (inner.locate().0, used, format!("{:?} {name}", inner.role()), node.rect())
        })
    });
    nodes.collect()
}

#[test]
fn every_tab_fits_a_phone_and_every_widget_is_reachable() {
    let mut problems = Vec::new();
    for (tab, fill) in Tab::ALL.iter().copied().zip(FILLS) {
        let (mut window, _scratch) = open_at(tab, Theme::Light, SIZE);
        window.state_mut().shared.environment = Environment { page: Some(Page::default()) };
        fill(&mut window);
        window.run_steps(3);
        for (id, used, name, rect) in named(&window) {
            let cut = rect.min.x < -0.5 || rect.max.x > SIZE[0] + 0.5;
            if !used {
                // The table of runs is wider than a phone and scrolls horizontally.
                if cut && tab != Tab::Runs {
                    problems.push(format!("{}: {name} is cut off: {rect}", tab.name()));
                }
                continue;
            }
            for action in [Action::Focus, Action::ScrollIntoView] {
                window.event(Event::AccessKitActionRequest(ActionRequest { action, target_tree: TreeId::ROOT, target_node: id, data: None }));
            }
            window.run_steps(3);
            let place = named(&window).into_iter().find(|(other, ..)| *other == id).map(|(_, _, _, rect)| rect);
            if place.is_none_or(|rect| !Rect::from_min_size(Default::default(), SIZE.into()).contains(rect.center())) {
                problems.push(format!("{}: {name} is not reached: {place:?}", tab.name()));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
