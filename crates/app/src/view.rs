//! The trait of a tab, and how tabs are registered.

use crate::action::Action;
use crate::shared::Shared;
use eframe::egui::Ui;
use signet::runner::Reply;

/// A tab. Each owns its workers, and reaches the others through [`Shared`].
pub(crate) trait TabView {
    /// Takes the replies of its workers.
    fn poll(&mut self, shared: &mut Shared);

    /// Applies one reply of its worker.
    fn take(&mut self, reply: Reply, shared: &mut Shared);

    /// Draws it.
    fn ui(&mut self, ui: &mut Ui, shared: &mut Shared);

    /// Does what another tab asks of it; gives back what is for others.
    fn act(&mut self, action: Action, shared: &mut Shared) -> Option<Action>;

    /// Takes its keys while it is shown.
    fn keys(&mut self, ui: &Ui, shared: &mut Shared);
}

/// Makes of a row for each tab, in their order, the enum [`Tab`](crate::Tab) by which settings and links name one, and
/// `Tabs`, which holds them all.
macro_rules! tabs {
    ($($(#[$about:meta])* $name:ident => $field:ident: $view:ty,)*) => {
        /// A tab.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Tab {
            $($(#[$about])* $name,)*
        }

        impl Tab {
            /// All, from left to right.
            pub const ALL: &[Tab] = &[$(Tab::$name),*];

            /// How it is called.
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
