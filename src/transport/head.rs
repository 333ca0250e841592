//! Whether the head of a request can be sent.
//!
//! ureq writes the request line and each header field as a whole into the output buffer of the connection. ureq cannot send a longer one,
//! and its error then wrongly blames the server's answer.

use ureq::http::header::{AUTHORIZATION, HOST};
use ureq::http::{HeaderName, HeaderValue, Request};

use crate::error::{Advice, Error};

/// Refuses a request line or a header field that is longer than an output buffer of `buffer` bytes.
pub(crate) fn check<B>(request: &Request<B>, buffer: usize) -> Result<(), Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    // ureq adds the slash that is missing before a query.
    let slash = usize::from(path.starts_with('?'));
    let around = request.method().as_str().len() + slash + "  HTTP/1.1\r\n".len();
    fits("the path and query of the URL are", path.len(), buffer, around)?;
    if let Some(host) = request.uri().authority().filter(|_| !request.headers().contains_key(HOST)) {
        fits("the host of the URL is", host.as_str().len(), buffer, "host: \r\n".len())?;
    }
    let last = request.headers().len().saturating_sub(1);
    for (index, (name, value)) in request.headers().iter().enumerate() {
        // The empty line after the head is written with the last field.
        field(name, value, buffer, if index == last { "\r\n".len() } else { 0 })?;
    }
    Ok(())
}

/// Returns the length of one field, without the parts that all fields have.
pub(crate) fn len(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len()
}

fn field(name: &HeaderName, value: &HeaderValue, buffer: usize, end: usize) -> Result<(), Error> {
    const SHOWN: usize = 64;
    let around = name.as_str().len() + ": \r\n".len() + end;
    let value = value.as_bytes();
    if *name == AUTHORIZATION {
        // The error states the length without the scheme, because people know their credentials without it.
        let scheme = value.iter().position(|&byte| byte == b' ').map_or(0, |at| at + 1);
        return fits("the credentials of the request are", value.len() - scheme, buffer, around + scheme);
    }
    match name.as_str() {
        long if long.len() > SHOWN => {
            fits("a header with its name is", long.len() + value.len(), buffer, around - long.len())
        }
        name => fits(&format!("the header {name} is"), value.len(), buffer, around),
    }
}

fn fits(what: &str, len: usize, buffer: usize, around: usize) -> Result<(), Error> {
    let most = buffer.saturating_sub(around);
    if len <= most {
        return Ok(());
    }
    let what = format!("{what} {len} bytes long; at most {most} can be sent: nothing was sent");
    Err(Error::invalid(what).with_advice(Advice::EnlargeBuffer))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFER: usize = 4096;

    fn request(path: usize, headers: &[(&str, usize)]) -> Request<()> {
        let mut request = Request::builder().uri(format!("https://a.example/{}", "p".repeat(path - 1)));
        for (name, len) in headers {
            request = request.header(*name, "v".repeat(*len));
        }
        request.body(()).unwrap()
    }

    #[test]
    fn longest_line_that_fits_into_the_buffer_is_accepted_and_one_more_byte_refused() {
        // The lines of a head: "GET /… HTTP/1.1\r\n", "name: …\r\n", and "\r\n" after the last one.
        for (path, headers, text) in [
            (BUFFER - 15, &[][..], None),
            (
                BUFFER - 14,
                &[],
                Some("the path and query of the URL are 4082 bytes long; at most 4081 can be sent"),
            ),
            (1, &[("x-a", BUFFER - 9)], None),
            (1, &[("x-a", BUFFER - 8)], Some("the header x-a is 4088 bytes long; at most 4087 can be sent")),
            (1, &[("x-a", BUFFER - 7), ("b", 1)], None),
            (
                1,
                &[("x-a", BUFFER - 6), ("b", 1)],
                Some("the header x-a is 4090 bytes long; at most 4089 can be sent"),
            ),
            (1, &[("authorization", BUFFER - 19)], None),
            (
                1,
                &[("authorization", BUFFER - 18)],
                Some("the credentials of the request are 4078 bytes long; at most 4077 can be sent"),
            ),
            (2_000, &[("x-a", 3_000), ("x-b", 3_000), ("x-c", 3_000)], None),
        ] {
            let result = check(&request(path, headers), BUFFER).map_err(|error| error.to_string());
            let next =
                ": nothing was sent; make that shorter, or the output buffer larger with `with_buffer_sizes`";
            assert_eq!(result.err(), text.map(|text| format!("{text}{next}")), "{path}, {headers:?}");
        }
    }

    #[test]
    fn long_names_and_hosts_are_refused_without_being_shown() {
        let name = "n".repeat(BUFFER);
        let error = check(&request(1, &[(&name, 5)]), BUFFER).unwrap_err().to_string();
        assert!(
            error.starts_with("a header with its name is 4101 bytes long; at most 4090 can be sent:"),
            "{error}"
        );
        let host = Request::builder().uri(format!("https://{}/", "h".repeat(BUFFER))).body(()).unwrap();
        let error = check(&host, BUFFER).unwrap_err().to_string();
        assert!(
            error.starts_with("the host of the URL is 4096 bytes long; at most 4088 can be sent:"),
            "{error}"
        );
    }
}
