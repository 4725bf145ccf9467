//! One statement sees one version.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::core::error::Result;
use crate::core::reference::Reference;
use crate::core::registry::Registry;

/// What the calls of one statement mean; each of them holds it.
#[derive(Default)]
pub struct Versions {
    known: Mutex<Vec<(Reference, u64)>>,
    /// In which the calls that are alive have their features: earlier ones of the transaction are of other statements.
    orders: Mutex<HashMap<String, Weak<Vec<String>>>>,
    pub runs: AtomicBool,
}

impl Versions {
    pub fn of(&self, registry: &Registry, reference: &Reference) -> Result<u64> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, version)) = known.iter().find(|(other, _)| other == reference) {
            return Ok(*version);
        }
        let version = registry.resolve(reference)?;
        known.push((reference.clone(), version));
        Ok(version)
    }

    /// Such an order as a call has its features in, if all others of the same `call` that are alive have them in it.
    pub fn in_order(&self, call: String, order: Vec<String>) -> Option<Arc<Vec<String>>> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let known = orders.get(&call).and_then(Weak::upgrade).unwrap_or_else(|| Arc::new(order.clone()));
        orders.insert(call, Arc::downgrade(&known));
        (*known == order).then_some(known)
    }

    /// A call of the statement runs.
    pub fn run(&self) {
        self.runs.store(true, Ordering::Relaxed);
    }
}
