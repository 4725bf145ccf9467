//! Ends runs of models whose queries were told to end: ONNX Runtime looks at a flag of its own between nodes.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::caught::guard;
use super::error::Result;
use super::interrupt::Interrupt;
use super::onnxruntime::RunOptions;

const LOOK_EVERY: Duration = Duration::from_millis(10);
/// After so many looks that found no run, it waits to be woken.
const IDLE_LOOKS: usize = 50;

struct Run {
    interrupt: Interrupt,
    options: *const RunOptions,
    ended: bool,
}

// SAFETY: the options of a run are alive while it is in the list, and may be used from any thread.
unsafe impl Send for Run {}

struct Runs {
    going_on: Vec<Run>,
    is_started: bool,
}

static RUNS: Mutex<Runs> = Mutex::new(Runs { going_on: Vec::new(), is_started: false });
static WAKE: Condvar = Condvar::new();
static WAITS: AtomicBool = AtomicBool::new(false);

fn runs() -> MutexGuard<'static, Runs> {
    RUNS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A run that is looked after for as long as this lives.
pub struct Watched<'a> {
    interrupt: Interrupt,
    options: &'a RunOptions,
}

impl<'a> Watched<'a> {
    pub fn new(interrupt: Interrupt, options: &'a RunOptions) -> Watched<'a> {
        let mut runs = runs();
        runs.going_on.push(Run { interrupt, options, ended: false });
        if !runs.is_started {
            // without the thread, queries end between runs
            runs.is_started = std::thread::Builder::new().name("sqlinfer".into()).spawn(look_after).is_ok();
        }
        drop(runs);
        if WAITS.load(Ordering::Relaxed) {
            WAKE.notify_one();
        }
        Watched { interrupt, options }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        let mut runs = runs();
        let own = |run: &Run| std::ptr::eq(run.options, self.options);
        if let Some(place) = runs.going_on.iter().position(own)
            && runs.going_on.swap_remove(place).ended
        {
            self.options.terminate(self.interrupt.is_set() && runs.going_on.iter().any(own));
        }
    }
}

fn look_after() {
    if guard(looked_after).is_err() {
        runs().is_started = false; // the next run begins anew
    }
}

fn looked_after() -> Result<Infallible> {
    let mut idle = 0;
    let mut runs = runs();
    loop {
        for run in &mut runs.going_on {
            if run.interrupt.is_set() && !run.ended {
                run.ended = true;
                // SAFETY: the run is in the list, so its options are alive.
                unsafe { &*run.options }.terminate(true);
            }
        }
        idle = if runs.going_on.is_empty() { idle + 1 } else { 0 };
        runs = if idle < IDLE_LOOKS {
            drop(runs);
            std::thread::sleep(LOOK_EVERY);
            self::runs()
        } else {
            WAITS.store(true, Ordering::Relaxed);
            let woken = WAKE.wait_while(runs, |runs| runs.going_on.is_empty());
            WAITS.store(false, Ordering::Relaxed);
            idle = 0;
            woken.unwrap_or_else(PoisonError::into_inner)
        };
    }
}
