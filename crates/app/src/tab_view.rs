//! The trait of a tab, and the macro that registers tabs.

use crate::action::Action;
use crate::shared::Shared;
use eframe::egui::Ui;
use signet::runner::Reply;

/// A tab. Each owns its workers, and reaches the others through [`Shared`].
pub(crate) trait TabView {
    /// Handles the replies of its workers.
    fn poll(&mut self, shared: &mut Shared);

    /// Handles one reply of its worker.
    fn handle(&mut self, reply: Reply, shared: &mut Shared);

    /// Draws the tab.
    fn ui(&mut self, ui: &mut Ui, shared: &mut Shared);

    /// Carries out a request of another tab; returns it if it is for a different tab.
    fn act(&mut self, action: Action, shared: &mut Shared) -> Option<Action>;

    /// Handles keys while the tab is shown.
    fn keys(&mut self, ui: &Ui, shared: &mut Shared);
}

/// Generates the enum [`Tab`](crate::Tab), which settings and links use, and the struct `Tabs` from one row for
/// each tab, from left to right.
macro_rules! tabs {
    ($($(#[$about:meta])* $name:ident => $field:ident: $view:ty,)*) => {
        /// A tab.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Tab {
            $($(#[$about])* $name,)*
        }

        impl Tab {
            /// All tabs, from left to right.
            pub const ALL: &[Tab] = &[$(Tab::$name),*];

            /// The tab's title.
            pub fn name(self) -> &'static str {
                match self {
                    $(Tab::$name => stringify!($name),)*
                }
            }
        }

        struct Tabs {
            $($field: $view,)*
        }

        impl Tabs {
            fn new(wake: &Wake) -> Self {
                Self { $($field: <$view>::new(wake),)* }
            }

            fn view(&mut self, tab: Tab) -> &mut dyn TabView {
                match tab {
                    $(Tab::$name => &mut self.$field,)*
                }
            }
        }
    };
}
pub(crate) use tabs;
