//! `keyfob <service> batch`: a signed GET for each line, answers in order, in constant memory.

mod answer;
mod input;
mod order;
mod output;

use std::fmt;
use std::io;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use keyfob::ureq::Agent;

use crate::args::Batch;
use crate::failure::Failure;
use crate::output::say;
use crate::service::Service;
use crate::target::Target;
use answer::Answer;
use input::Input;
use order::{Order, Tally};

/// How often progress is shown, answers that wait are written, and signals are looked for.
const TICK: Duration = Duration::from_millis(100);

/// What the threads share.
struct Work {
    agent: Agent,
    target: Target,
    input: Mutex<Input>,
    order: Order,
}

pub fn run(service: &dyn Service, given: &Batch) -> Result<(), Failure> {
    let jobs = usize::from(given.jobs);
    let mut input = Input::open(&given.input)?;
    let api = service.api()?;
    let target = Target::new(&api.url)?;
    // Before anything is sent.
    let (file, before) = match &given.output {
        Some(path) => output::open(path, given.resume)?,
        None => (crate::output::stdout()?, Tally::default()),
    };
    let done = before.last_line;
    let agent = api.agent(service, jobs)?;
    let bar = bar(given, &input, done)?;
    input.pass_by(done)?;
    let name =
        given.output.as_ref().map_or_else(|| "standard output".into(), |path| path.display().to_string());
    let order = Order::new(file, name, jobs, before);
    // Not before: until here a signal ends it at once.
    let signals = Signals::listen()?;
    let work = Arc::new(Work { agent, target, input: Mutex::new(input), order });
    for _ in 0..jobs {
        let work = work.clone();
        work.order.begin();
        thread::Builder::new()
            .spawn(move || work.run())
            .map_err(|e| Failure::unexpected(format!("could not start a thread: {e}")))?;
    }
    // Not joined: when a signal comes, some may still wait for their answers.
    loop {
        let finished = work.order.wait(TICK);
        if let Some(bar) = &bar {
            bar.set_position(work.order.last_line());
        }
        if let Some(signal) = signals.which() {
            work.order.close();
            if given.output.is_some() {
                say("interrupted: give --resume to go on from here");
            }
            return Err(Failure::Signal(signal));
        }
        if finished {
            break;
        }
    }
    if let Some(bar) = &bar {
        bar.finish();
    }
    work.order.result()
}

impl Work {
    fn run(&self) {
        let mut body = Vec::new();
        loop {
            let taken = self.input.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((turn, line)) = taken else { break };
            // What was asked but not yet written is bounded.
            if !self.order.may_begin(turn) {
                break;
            }
            let answer = match line {
                Ok(line) => Answer::to(&line, &self.agent, &self.target, &mut body),
                Err(failure) => Answer::Fatal(failure),
            };
            self.order.put(turn, answer);
        }
        self.order.end();
    }
}

/// On a terminal that nothing else is written to.
fn bar(given: &Batch, input: &Input, done: u64) -> Result<Option<ProgressBar>, Failure> {
    if !io::stderr().is_terminal() || (given.output.is_none() && io::stdout().is_terminal()) {
        return Ok(None);
    }
    let (bar, template) = match input.count_lines()? {
        Some(lines) => (ProgressBar::new(lines), "{bar:40} {pos}/{len}  {rate}/s  {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {pos}  {rate}/s  {elapsed}"),
    };
    let style = ProgressStyle::with_template(template).map_err(|e| Failure::unexpected(e.to_string()))?;
    let style = style.with_key("rate", |state: &ProgressState, to: &mut dyn fmt::Write| {
        let _ = write!(to, "{:.0}", state.per_sec());
    });
    let bar = bar.with_style(style).with_position(done);
    bar.reset_eta();
    Ok(Some(bar))
}

/// Signals that end the run after a whole line. The second one ends it at once.
#[cfg(unix)]
struct Signals(Arc<std::sync::atomic::AtomicUsize>);

#[cfg(unix)]
impl Signals {
    fn listen() -> Result<Self, Failure> {
        let came = Arc::<std::sync::atomic::AtomicUsize>::default();
        let again = Arc::<std::sync::atomic::AtomicBool>::default();
        for signal in crate::signals::that_end() {
            signal_hook::flag::register_conditional_default(signal, again.clone())
                .and_then(|_| signal_hook::flag::register(signal, again.clone()))
                .and_then(|_| {
                    let number = usize::try_from(signal).unwrap_or_default();
                    signal_hook::flag::register_usize(signal, came.clone(), number)
                })
                .map_err(|e| Failure::unexpected(format!("could not listen for signals: {e}")))?;
        }
        Ok(Self(came))
    }

    fn which(&self) -> Option<i32> {
        let signal = self.0.load(std::sync::atomic::Ordering::Relaxed);
        i32::try_from(signal).ok().filter(|signal| *signal != 0)
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Result<Self, Failure> {
        Ok(Self)
    }

    fn which(&self) -> Option<i32> {
        None
    }
}
