//! Orders to a run in training: sent from any thread, handled between two steps.

use super::changes::Changed;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An order to a run in training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "order")]
pub enum Order {
    /// Pause after the current step.
    Pause,
    /// Resume after a pause.
    #[serde(rename = "go")]
    Continue,
    /// Run one step, then pause.
    StepOnce,
    /// Write a checkpoint.
    Save,
    /// Sample a text.
    Sample,
    /// Emit the student as a packed model.
    Snapshot,
    /// Change settings.
    Change {
        /// The settings and their values.
        what: Changed,
    },
}

impl Order {
    /// Returns true if handling it once is enough, however often it was sent.
    fn once(&self) -> bool {
        matches!(self, Order::Save | Order::Sample | Order::Snapshot)
    }
}

/// A queue of orders to a run. Clones share the queue.
#[derive(Clone, Default)]
pub struct Orders {
    queue: Arc<Mutex<Queue>>,
    /// Forwards the orders, if the run is in another process or worker.
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
    /// Outlives the trainer: a run that resumes after its device was lost is paused as before.
    paused: bool,
}

impl Orders {
    /// Creates a queue that passes orders to `forward`.
    pub fn forwarding(forward: impl Fn(Order) + Send + Sync + 'static) -> Self {
        Self { forward: Some(Arc::new(forward)), ..Self::default() }
    }

    /// Adds an order, to be handled after earlier ones.
    pub fn send(&self, order: Order) {
        if let Some(forward) = &self.forward {
            return forward(order);
        }
        let mut queue = self.queue();
        if !(order.once() && queue.waiting.contains(&order)) {
            queue.waiting.push_back(order);
        }
    }

    /// Clears the queue and the pause, for a new run.
    pub fn clear(&self) {
        *self.queue() = Queue::default();
    }

    /// Returns true if the run is paused.
    pub fn paused(&self) -> bool {
        self.queue().paused
    }

    /// Removes and returns the next order.
    pub(super) fn pop(&self) -> Option<Order> {
        self.queue().waiting.pop_front()
    }

    /// Pauses or resumes the run.
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
    fn orders_are_in_sequence_and_waiting_ones_are_not_repeated() {
        let orders = Orders::default();
        for order in [Order::Snapshot, Order::StepOnce, Order::StepOnce, Order::Snapshot, Order::Save] {
            orders.clone().send(order);
        }
        let taken: Vec<Order> = std::iter::from_fn(|| orders.pop()).collect();
        assert_eq!(taken, [Order::Snapshot, Order::StepOnce, Order::StepOnce, Order::Save]);
        orders.send(Order::Snapshot);
        orders.pause(true);
        orders.clear();
        assert!(orders.pop().is_none() && !orders.paused());
    }
}
