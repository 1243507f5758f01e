//! What is asked of a training while it runs: given from any thread, obeyed between two steps.

use super::changes::Changed;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "order")]
pub enum Order {
    /// Rest after the step at hand.
    Pause,
    /// Go on.
    Go,
    /// Take one step, then rest.
    StepOnce,
    /// Write a checkpoint.
    Save,
    /// Sample a text.
    Sample,
    /// Give the student as a packed model.
    Snapshot,
    /// Go on with other settings.
    Change {
        /// Their values.
        what: Changed,
    },
}

impl Order {
    /// Whether it is done with when done once, however often it was given.
    fn once(&self) -> bool {
        matches!(self, Order::Save | Order::Sample | Order::Snapshot)
    }
}

/// Orders on their way to a training. Clones are the same queue.
#[derive(Clone, Default)]
pub struct Orders {
    queue: Arc<Mutex<Queue>>,
    /// Takes the orders where the training is elsewhere.
    forward: Option<Arc<dyn Fn(Order) + Send + Sync>>,
}

impl std::fmt::Debug for Orders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.queue().fmt(f)
    }
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Order>,
    /// Outlives a trainer: a run that goes on after its device was lost rests as before.
    paused: bool,
}

impl Orders {
    /// Orders that `forward` brings to their training.
    pub fn forwarding(forward: impl Fn(Order) + Send + Sync + 'static) -> Self {
        Self { forward: Some(Arc::new(forward)), ..Self::default() }
    }

    /// Gives an order; the training obeys after those given before.
    pub fn give(&self, order: Order) {
        if let Some(forward) = &self.forward {
            return forward(order);
        }
        let mut queue = self.queue();
        if !(order.once() && queue.waiting.contains(&order)) {
            queue.waiting.push_back(order);
        }
    }

    /// Forgets everything: the next training is new.
    pub fn clear(&self) {
        *self.queue() = Queue::default();
    }

    /// Whether the training rests.
    pub fn paused(&self) -> bool {
        self.queue().paused
    }

    /// The next order.
    pub(super) fn pop(&self) -> Option<Order> {
        self.queue().waiting.pop_front()
    }

    /// Lets the training rest, or go on.
    pub(super) fn pause(&self, paused: bool) {
        self.queue().paused = paused;
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_come_in_turn_and_those_that_wait_are_not_doubled() {
        let orders = Orders::default();
        for order in [Order::Snapshot, Order::StepOnce, Order::StepOnce, Order::Snapshot, Order::Save] {
            orders.clone().give(order);
        }
        let taken: Vec<Order> = std::iter::from_fn(|| orders.pop()).collect();
        assert_eq!(taken, [Order::Snapshot, Order::StepOnce, Order::StepOnce, Order::Save]);
        orders.give(Order::Snapshot);
        orders.pause(true);
        orders.clear();
        assert!(orders.pop().is_none() && !orders.paused());
    }
}
