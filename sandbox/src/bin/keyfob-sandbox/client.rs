//! The client of `--client`.

/// The public client of Acme, which has no secret.
const PUBLIC: &str = "demo-public";

/// Client ids of real servers are shorter than this.
const LONGEST_ID: usize = 128;

/// SpatiaFi's clients sign with the secret: a key for HS256 has 32 bytes or more (RFC 7518, section 3.2).
const SHORTEST_SECRET: usize = 32;
const LONGEST_SECRET: usize = 1024;

/// Reads `ID:SECRET`. The secret is not repeated in an error.
pub(crate) fn parse(text: &str) -> Result<(String, String), String> {
    let (id, secret) = text.split_once(':').ok_or("write the id, a colon and the secret")?;
    if id.is_empty() {
        return Err("the id is empty".to_owned());
    }
    if secret.is_empty() {
        return Err("the secret is empty".to_owned());
    }
    for (name, value) in [("id", id), ("secret", secret)] {
        // RFC 6749, appendix A.1 and A.2.
        if let Some(other) = value.chars().find(|character| !matches!(character, ' '..='~')) {
            return Err(format!("the {name} holds {other:?}; printable ASCII characters are allowed"));
        }
    }
    if id.len() > LONGEST_ID {
        return Err(format!("the id has {} characters; at most {LONGEST_ID} are allowed", id.len()));
    }
    if id == PUBLIC {
        return Err(format!("{PUBLIC} is the client without a secret; choose another id"));
    }
    if !(SHORTEST_SECRET..=LONGEST_SECRET).contains(&secret.len()) {
        return Err(format!(
            "the secret has {} characters; from {SHORTEST_SECRET} to {LONGEST_SECRET} are allowed, because SpatiaFi's clients sign with it",
            secret.len()
        ));
    }
    Ok((id.to_owned(), secret.to_owned()))
}
