//! keyfob's side of `compare`.

use keyfob::SpatiaFi;
use keyfob_benches::{CALL, Outcome, work};

fn main() -> Outcome<()> {
    let spatiafi = SpatiaFi::from_env()?;
    let agent = spatiafi.agent()?;
    let url = format!("{}{CALL}", spatiafi.api_url());
    work(|| agent.get(&url).call())
}
