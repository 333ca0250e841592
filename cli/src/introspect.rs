//! `keyfob <service> introspect`: what the server knows about the stored token.

use crate::failure::Failure;
use crate::output::{self, printable_json};
use crate::service::Client;

pub fn run(client: &Client) -> Result<(), Failure> {
    client.known.check_endpoint("introspection_url")?;
    let answer = client.with_tokens()?.introspect().map_err(|error| client.explain(error))?;
    output::print((printable_json(&answer.to_json()) + "\n").as_bytes())
}
