//! Point queries in bulk: reads a file with `lon,lat` on each line, and prints a line of JSON for each, in
//! the same order.
//!
//! `cargo run --release --example spatiafi_bulk -- POINTS [THREADS] > answers.jsonl`
//!
//! A bounded pool of plain threads shares one agent, and so one token. The number of answers that are not yet
//! printed is bounded, so memory does not grow with the file.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use indicatif::{ProgressBar, ProgressStyle};
use keyfob::SpatiaFi;

const ITEM: &str = "ce-wildfire-risk-static-us-and-canada-v3.0";

/// How many answers may wait for an earlier one.
const WINDOW: usize = 1024;

/// A line of the file, and the sender for its answer.
type Job = (String, SyncSender<String>);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: spatiafi_bulk POINTS [THREADS]")?;
    let threads: usize = arguments.next().map_or(Ok(8), |n| n.parse())?;
    if threads == 0 {
        return Err("at least one thread is needed".into());
    }

    let spatiafi = SpatiaFi::from_env()?;
    let agent = spatiafi.agent_builder().max_idle_connections(threads).build()?;
    let ask = |point: &str| -> Result<String, keyfob::Error> {
        let url = format!("{}/api/point/{point}", spatiafi.api_url());
        let mut response = agent.get(url).query("item_id", ITEM).call()?;
        Ok(response.body_mut().read_to_string()?)
    };

    let total = BufReader::new(File::open(&path)?).lines().count();
    let bar = ProgressBar::new(total as u64)
        .with_style(ProgressStyle::with_template("{bar:40} {pos}/{len}  {per_sec}  {eta} left")?);
    let mut out = BufWriter::new(io::stdout().lock());
    // Answers arrive in any order. Their receivers wait in the order of the file.
    let (order, ordered) = sync_channel::<Receiver<String>>(WINDOW);
    let (jobs, taken) = sync_channel::<Job>(threads);
    let taken = Mutex::new(taken);

    thread::scope(|scope| -> Result<(), Box<dyn Error>> {
        let lines = BufReader::new(File::open(&path)?).lines();
        scope.spawn(move || {
            for line in lines {
                let (answer, answered) = sync_channel(1);
                let line = line.unwrap_or_else(|error| format!("(unreadable: {error})"));
                if order.send(answered).is_err() || jobs.send((line, answer)).is_err() {
                    break;
                }
            }
        });
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let job = taken.lock().expect("no thread panics with the lock").recv();
                    let Ok((line, answer)) = job else { break };
                    let answer_line = ask(line.trim()).unwrap_or_else(|error| {
                        serde_json::json!({ "error": error.to_string() }).to_string()
                    });
                    let _ = answer.send(answer_line);
                }
            });
        }
        for answered in ordered {
            writeln!(out, "{}", answered.recv()?.trim_end())?;
            bar.inc(1);
        }
        Ok(())
    })?;
    bar.finish();
    out.flush()?;
    Ok(())
}
