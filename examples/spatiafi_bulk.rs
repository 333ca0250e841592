//! Point queries in bulk: a file with a `lon,lat` on each line → one JSON line each, in the same order.
//!
//! `cargo run --release --example spatiafi_bulk -- POINTS [THREADS] > answers.jsonl`
//!
//! A bounded pool of plain threads shares one agent, and so one token. Memory stays the same however long the file is:
//! what has been asked but not yet written is bounded too.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use indicatif::{ProgressBar, ProgressStyle};
use keyfob::{SpatiaFi, classify};

const ITEM: &str = "ce-wildfire-risk-static-us-and-canada-v3.0";

/// How many answers may wait for one before them.
const WINDOW: usize = 1024;

/// A line of the file, and where its answer goes.
type Job = (String, SyncSender<String>);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: spatiafi_bulk POINTS [THREADS]")?;
    let threads: usize = arguments.next().map_or(Ok(8), |n| n.parse())?;
    if threads == 0 {
        return Err("at least one thread is needed".into());
    }

    let spatiafi = SpatiaFi::from_env()?;
    let source = std::sync::Arc::new(spatiafi.source()?);
    let agent = spatiafi.agent_builder(source)?.with_max_idle_connections(threads).build()?;
    let ask = |point: &str| -> Result<String, keyfob::Error> {
        let url = format!("{}/api/point/{point}", spatiafi.api_url());
        agent
            .get(url)
            .query("item_id", ITEM)
            .call()
            .and_then(|mut response| response.body_mut().read_to_string())
            .map_err(classify)
    };

    let total = BufReader::new(File::open(&path)?).lines().count();
    let bar = ProgressBar::new(total as u64)
        .with_style(ProgressStyle::with_template("{bar:40} {pos}/{len}  {per_sec}  {eta} left")?);
    let mut out = BufWriter::new(io::stdout().lock());
    // Answers arrive in any order; their receivers queue in the order of the file.
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
                    let told = ask(line.trim()).unwrap_or_else(|error| {
                        serde_json::json!({ "error": error.to_string() }).to_string()
                    });
                    let _ = answer.send(told);
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
