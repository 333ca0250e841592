//! Contenders that criterion times one after the other, and that are then timed in turns for a table of
//! ratios.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;

/// Runs this many iterations and returns how long they took.
type Timed<'a> = Box<dyn FnMut(u64) -> Duration + 'a>;

pub struct Turns<'a> {
    group: &'static str,
    contenders: Vec<(&'static str, Timed<'a>)>,
}

impl<'a> Turns<'a> {
    pub fn new(group: &'static str) -> Self {
        Self { group, contenders: Vec::new() }
    }

    pub fn add<T>(&mut self, name: &'static str, mut run: impl FnMut() -> T + 'a) {
        self.add_timed(name, move |iterations| {
            let started = Instant::now();
            for _ in 0..iterations {
                black_box(run());
            }
            started.elapsed()
        });
    }

    pub fn add_timed(&mut self, name: &'static str, run: impl FnMut(u64) -> Duration + 'a) {
        self.contenders.push((name, Box::new(run)));
    }

    /// The first contender is keyfob.
    pub fn run(mut self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group(self.group);
        for (name, run) in &mut self.contenders {
            group.bench_function(*name, |bencher| bencher.iter_custom(&mut *run));
        }
        group.finish();
        self.print();
    }

    /// Returns the fastest of many short turns, which other load on the machine disturbs least.
    fn print(&mut self) {
        const ROUNDS: u32 = 2_000;
        const ITERATIONS: u32 = 200;
        let mut fastest = vec![Duration::MAX; self.contenders.len()];
        for _ in 0..ROUNDS {
            for (time, (_, run)) in fastest.iter_mut().zip(&mut self.contenders) {
                *time = run(ITERATIONS.into()).min(*time);
            }
        }
        println!("| {} (fastest of {ROUNDS} turns) | ns | keyfob ÷ it |\n| --- | ---: | ---: |", self.group);
        for (time, (name, _)) in fastest.iter().zip(&self.contenders) {
            let nanoseconds = time.as_secs_f64() * 1e9 / f64::from(ITERATIONS);
            let ratio = fastest[0].as_secs_f64() / time.as_secs_f64();
            println!("| {name} | {nanoseconds:.1} | {ratio:.3} |");
        }
    }
}
