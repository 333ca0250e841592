//! The README's cron job. Its size is compared with that of `cron_ureq.rs`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spatiafi = keyfob::SpatiaFi::from_env()?;
    let agent = spatiafi.agent();
    let info = agent
        .get("https://api.spatiafi.com/api/info")
        .query("item_id", "ce-wildfire-risk-static-us-and-canada-v3.0")
        .call()?
        .body_mut()
        .read_to_string()?;
    println!("{info}");
    Ok(())
}
