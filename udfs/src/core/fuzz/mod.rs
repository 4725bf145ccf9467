//! Random and damaged input for everything that reads files or computes rows: each ends in an answer or in an error.
//!
//! `SQLINFER_FUZZ_RUNS=10000 SQLINFER_FUZZ_SEED=1 cargo test fuzz -- --nocapture` prints what became of so many cases of
//! each target; with `SQLINFER_FUZZ_CASE` only that one is run, and its panic is printed. tests/fuzz/README.md has what was
//! seen, and how to look for reads out of range.

mod batches;
mod damage;
mod kernels;
mod readers;
mod tables;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::sys::caught::caught;

/// Of each target, where nobody says otherwise: so few that nobody waits for them.
const RUNS: u64 = 100;
const SEED: u64 = 1;
/// A case that goes on for longer does not end.
const LONGEST: Duration = Duration::from_secs(120);

/// What became of a case. A fault is a panic.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Ended {
    Answered,
    Refused,
}

impl<T, E> From<Result<T, E>> for Ended {
    fn from(result: Result<T, E>) -> Ended {
        if result.is_ok() { Ended::Answered } else { Ended::Refused }
    }
}

/// The same numbers for the same seed: SplitMix64.
struct Dice(u64);

impl Dice {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.bits() % most.max(1) as u64) as usize
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn of<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        &values[self.below(values.len())]
    }

    /// Mostly what models meet, and what is at the edges.
    fn number(&mut self) -> f64 {
        const EDGES: [f64; 10] =
            [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300, 5e-324, 16_777_217.0, 1e38];
        match self.below(6) {
            0 => *self.of(&EDGES),
            1 => f64::from_bits(self.bits()),
            2 => self.below(9) as f64 - 4.0,
            _ => (self.below(20_001) as f64 - 10_000.0) / 128.0,
        }
    }

    fn integer(&mut self) -> i64 {
        const EDGES: [i64; 12] = [0, 1, -1, 2, 127, 255, 1 << 31, (1 << 31) - 1, 1 << 40, i64::MAX, i64::MIN, 4_096];
        match self.below(4) {
            0 => *self.of(&EDGES),
            1 => self.bits() as i64 >> self.below(64),
            _ => self.below(12) as i64 - 2,
        }
    }

    /// Around the 128 rows of a tile and the 512 of a task; rarely very many.
    fn rows(&mut self) -> usize {
        if self.one_in(400) { 100_000 } else { *self.of(&[0, 1, 2, 127, 128, 129, 511, 512, 513]) }
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Try the target on as many cases as are asked for, each made of its own numbers.
fn fuzz(target: &'static str, one: impl Fn(&mut Dice) -> Ended) {
    let seed = setting("SQLINFER_FUZZ_SEED").unwrap_or(SEED);
    let dice = |case: u64| Dice(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ case.wrapping_mul(0x9e6c_63d0_876a_3f1b));
    if let Some(case) = setting("SQLINFER_FUZZ_CASE") {
        println!("{target}, seed {seed}, case {case}: {:?}", one(&mut dice(case)));
        return;
    }
    let runs = setting("SQLINFER_FUZZ_RUNS").unwrap_or(RUNS);
    let watch = Watch::new(target, seed);
    let started = Instant::now();
    let (mut answered, mut refused, mut faults) = (0, 0, Vec::new());
    let mut slowest = (Duration::ZERO, 0);
    for case in 0..runs {
        watch.begin(case);
        let begun = Instant::now();
        match caught(|| one(&mut dice(case))) {
            Ok(Ended::Answered) => answered += 1,
            Ok(Ended::Refused) => refused += 1,
            Err(said) => faults.push(format!("{target}, seed {seed}, case {case}: {said}")),
        }
        slowest = slowest.max((begun.elapsed(), case));
    }
    println!(
        "{target}, seed {seed}: {runs} runs, {answered} answers, {refused} refusals, {} faults; {:.0} s, the longest {} ms \
         (case {})",
        faults.len(),
        started.elapsed().as_secs_f64(),
        slowest.0.as_millis(),
        slowest.1
    );
    assert!(faults.is_empty(), "{}", faults[..faults.len().min(20)].join("\n"));
}

/// Ends the process, with the case, where a case does not end.
struct Watch {
    /// The case, and one more; 0 when all are done.
    case: Arc<AtomicU64>,
}

impl Watch {
    fn new(target: &'static str, seed: u64) -> Watch {
        let case = Arc::new(AtomicU64::new(1));
        let watched = Arc::downgrade(&case);
        std::thread::spawn(move || {
            let (mut last, mut since) = (0, Instant::now());
            while let Some(case) = watched.upgrade().map(|case| case.load(Ordering::Relaxed)) {
                if case != last {
                    (last, since) = (case, Instant::now());
                } else if since.elapsed() > LONGEST {
                    eprintln!("{target}, seed {seed}, case {}: it does not end", case - 1);
                    std::process::abort();
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        Watch { case }
    }

    fn begin(&self, case: u64) {
        self.case.store(case + 1, Ordering::Relaxed);
    }
}

/// A folder of its own for a target, in memory where there is such a place; gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(target: &str) -> Folder {
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = place.join(format!("sqlinfer-fuzz-{target}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
