//! Parameters of queries and forms, which may not be sent twice (RFC 6749, sections 3.1 and 3.2).

/// Returns the value of a parameter that may be sent once at most.
pub(crate) fn at_most_once<'p>(
    parameters: &'p [(String, String)],
    name: &str,
) -> Result<Option<&'p str>, String> {
    let mut values = parameters.iter().filter(|(n, _)| n == name);
    match (values.next(), values.next()) {
        (first, None) => Ok(first.map(|(_, value)| value.as_str())),
        _ => Err(format!("{name} was sent more than once")),
    }
}

/// Returns the value of a parameter that must be sent exactly once.
pub(crate) fn once<'p>(parameters: &'p [(String, String)], name: &str) -> Result<&'p str, String> {
    at_most_once(parameters, name)?.ok_or_else(|| format!("{name} is missing"))
}

/// Refuses parameters beyond these.
pub(crate) fn expect_only(parameters: &[(String, String)], known: &[&str]) -> Result<(), String> {
    match parameters.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some((name, _)) => Err(format!("{name} is no parameter here")),
    }
}

/// Requires that each parameter is one of these, has a value and is sent once; `resource` may be repeated (RFC 8707, section 2).
pub(crate) fn expect_well_formed(parameters: &[(String, String)], known: &[&str]) -> Result<(), String> {
    expect_only(parameters, known)?;
    for (name, value) in parameters {
        if value.is_empty() {
            return Err(format!("{name} has no value"));
        }
        if name != "resource" {
            once(parameters, name)?;
        }
    }
    Ok(())
}
