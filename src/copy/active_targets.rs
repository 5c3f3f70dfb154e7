//! What several targets share of what their source allows.

use std::cell::Cell;
use std::rc::Rc;

/// How many targets still have copies to make. They share what the source allows, so that a target which does not answer
/// takes nothing from the others.
#[derive(Debug, Clone, Default)]
pub(super) struct ActiveTargets(Rc<Cell<usize>>);

impl ActiveTargets {
    pub(super) fn new(count: usize) -> Self {
        Self(Rc::new(Cell::new(count)))
    }

    /// The part of one target.
    pub(super) fn share_of(&self, room: usize) -> usize {
        room.div_ceil(self.0.get().max(1))
    }

    pub(super) fn one_has_ended(&self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
