//! `keyfob <service> batch`: an authenticated GET for each line, answers in order, in bounded memory.
//!
//! The main thread holds no secret, and waits only for the end of the batch. So it notices a signal and can end the process, even if
//! another thread hangs.

mod answer;
mod body;
mod budget;
mod input;
mod order;
mod output;

use std::fmt;
use std::io;
use std::io::IsTerminal as _;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use keyfob::ureq::Agent;
use keyfob_config::clock::Deadline;

use crate::args::Batch;
use crate::failure::Failure;
use crate::leave::{leave, on_wiped_stack};
use crate::output::{say, why_not_started};
use crate::service::Client;
use crate::target::Target;
use answer::Answer;
use budget::{Budget, PIECE};
use input::Input;
use order::{Order, Tally};

/// How often progress is shown, and answers that wait are written.
const TICK: Duration = Duration::from_millis(100);

/// How often the main thread looks for signals.
const LOOK: Duration = Duration::from_millis(20);

/// How long calls under way may take to end when the run must end: after a signal, or when the output accepts no more.
const GRACE: Duration = Duration::from_millis(500);

/// The same time before the first call. A command that prints a secret then has a second to end.
const GRACE_BEFORE: Duration = Duration::from_millis(1500);

/// The state that the threads share.
struct Work<'a> {
    agent: Agent,
    target: Target,
    input: Mutex<Input>,
    order: &'a Order,
}

pub fn run(client: &Client, given: &Batch) -> Result<(), Failure> {
    // Signals are held before any secret is read.
    let held = hold_signals()?;
    let order = OnceLock::new();
    let (finish, finished) = mpsc::channel();
    let result = thread::scope(|scope| {
        let batch = spawn(scope, || {
            let _ = finish.send(batch(client, given, &order));
        })?;
        let result = wait(&finished, &order, given);
        let _ = batch.join();
        result
    });
    // From here on signals end the process at once.
    drop(held);
    if let (Err(Failure::Signal(_)), Some(note)) = (&result, note(given, order.get())) {
        say(note);
    }
    result
}

/// Waits until the batch ends. Ends the process if the batch must end and does not do so in time.
fn wait(
    finished: &Receiver<Result<(), Failure>>,
    order: &OnceLock<Order>,
    given: &Batch,
) -> Result<(), Failure> {
    let mut signal = None;
    let mut give_up = None;
    loop {
        match finished.recv_timeout(LOOK) {
            Ok(result) => return signal.map_or(result, |signal| Err(Failure::Signal(signal))),
            Err(RecvTimeoutError::Disconnected) => return Err(Failure::unexpected("a thread ended early")),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let order = order.get();
        signal = signal.or_else(that_came);
        if let (Some(_), Some(order)) = (signal, order) {
            order.budget.close();
        }
        if signal.is_none() && !order.is_some_and(|order| order.budget.is_closed()) {
            continue;
        }
        let grace = if order.is_some() { GRACE } else { GRACE_BEFORE };
        if give_up.get_or_insert_with(|| Deadline::after(grace)).remaining().is_zero() {
            let result = order.map_or(Ok(()), |order| order.close(GRACE));
            match signal {
                Some(signal) => leave(note(given, order), &Err(Failure::Signal(signal))),
                None => leave(None, &result),
            }
        }
    }
}

fn note(given: &Batch, order: Option<&Order>) -> Option<&'static str> {
    (given.output.is_some() && order.is_some()).then_some("interrupted: give --resume to continue from here")
}

fn batch(client: &Client, given: &Batch, order: &OnceLock<Order>) -> Result<(), Failure> {
    let jobs = usize::from(given.jobs);
    let mut input = Input::open(&given.input)?;
    let service = client.service_of_requests()?;
    let target = Target::new(service.api_url())?;
    // The output is opened before anything is sent.
    let (file, before) = match &given.output {
        Some(path) => output::open(path, given.resume)?,
        None => (crate::output::stdout()?, Tally::default()),
    };
    let done = before.last_line;
    let agent = client.agent(&service, jobs)?;
    let bar = bar(given, &input, done)?;
    input.pass_by(done)?;
    let name =
        given.output.as_ref().map_or_else(|| "standard output".into(), |path| path.display().to_string());
    let budget = Budget::new(u64::from(given.memory) * 1024 * 1024, jobs);
    let order = order.get_or_init(|| Order::new(file, name, budget, before));
    let work = Work { agent, target, input: Mutex::new(input), order };
    thread::scope(|scope| {
        let mut threads = Vec::with_capacity(jobs);
        for _ in 0..jobs {
            order.begin();
            match spawn(scope, || work.run()) {
                Ok(thread) => threads.push(thread),
                Err(failure) => {
                    order.end();
                    order.fail(failure);
                    break;
                }
            }
        }
        while !order.wait(TICK) {
            if let Some(bar) = &bar {
                bar.set_position(order.last_line());
            }
        }
        // The scope waits only for the work of the threads. This waits until the threads have ended.
        for thread in threads {
            let _ = thread.join();
        }
    });
    if let Some(bar) = &bar {
        bar.set_position(order.last_line());
        bar.finish();
    }
    order.result()
}

impl Work<'_> {
    fn run(&self) {
        let mut buffer = vec![0; PIECE];
        loop {
            let taken = self.input.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((turn, line)) = taken else { break };
            let answer = match line {
                Ok(line) => {
                    Answer::to(&line, &self.agent, &self.target, (&self.order.budget, turn), &mut buffer)
                }
                Err(failure) => Some(Answer::Fatal(failure)),
            };
            let Some(answer) = answer else { break };
            self.order.put(turn, answer);
        }
        self.order.end();
    }
}

/// Starts a thread that leaves nothing of its work on its stack, because the stack may be kept for the next thread.
fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, ()>, Failure> {
    let thread = thread::Builder::new().spawn_scoped(scope, || on_wiped_stack(work));
    thread.map_err(|e| Failure::unexpected(format!("could not start a thread: {}", why_not_started(&e))))
}

/// Shows progress on a terminal to which nothing else is written.
fn bar(given: &Batch, input: &Input, done: u64) -> Result<Option<ProgressBar>, Failure> {
    if !io::stderr().is_terminal() || (given.output.is_none() && io::stdout().is_terminal()) {
        return Ok(None);
    }
    let (bar, template) = match input.count_lines()? {
        Some(lines) => (ProgressBar::new(lines), "{bar:40} {pos}/{len}  {rate}/s  {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {pos}  {rate}/s  {elapsed}"),
    };
    let style = ProgressStyle::with_template(template).map_err(|e| Failure::unexpected(e.to_string()))?;
    let style = style.with_key("rate", move |state: &ProgressState, to: &mut dyn fmt::Write| {
        let _ = if state.is_finished() {
            // `per_sec` would count the lines of earlier runs too.
            let lines = u128::from(state.pos().saturating_sub(done));
            write!(to, "{}", lines * 1000 / state.elapsed().as_millis().max(1))
        } else {
            write!(to, "{:.0}", state.per_sec())
        };
    });
    let bar = bar.with_style(style);
    // Counts the lines of earlier runs as one step, and forgets how fast that was before anything is shown.
    bar.set_draw_target(ProgressDrawTarget::hidden());
    bar.set_position(done);
    bar.reset_eta();
    bar.set_draw_target(ProgressDrawTarget::stderr());
    Ok(Some(bar))
}

/// While this value exists, signals that end the program are only noted, and [`that_came`] returns them.
#[cfg(unix)]
fn hold_signals() -> Result<crate::signals::Held, Failure> {
    let failed = |e| Failure::unexpected(format!("could not listen for signals: {e}"));
    crate::signals::Held::that_end().map_err(failed)
}

#[cfg(unix)]
use crate::signals::that_came;

#[cfg(not(unix))]
fn hold_signals() -> Result<(), Failure> {
    Ok(())
}

#[cfg(not(unix))]
fn that_came() -> Option<i32> {
    None
}
