//! Form bodies and the three client authentications (`src/encode/form.rs`, `src/encode/basic.rs`,
//! `src/client_auth.rs`).
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyfob::internals::{
    basic_header, client_secret_basic, decode_form_value, encode_form, encode_form_value, signed_request,
};
use keyfob::{Basic, ClientAuth, Secret};
use keyfob_fuzz::{Input, holds_no_refused};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let texts: [String; 4] = std::array::from_fn(|_| input.text());
    let [id, name, first, second] = texts.each_ref().map(String::as_str);
    let secret = input.rest();
    values(secret);
    bodies(name, first, second, secret);
    headers(id, secret);
    clients(id, secret, name, first);
});

fn values(value: &[u8]) {
    let encoded = encode_form_value(value);
    let expected: String = form_urlencoded::byte_serialize(value).collect();
    assert_eq!(encoded.expose_str(), Some(expected.as_str()));
    assert_eq!(decode_form_value(encoded.expose()).expose(), value);
    // Bytes that were not encoded are read as other parsers read them.
    let spaced: Vec<u8> = value.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
    let decoded: Vec<u8> = percent_encoding::percent_decode(&spaced).collect();
    assert_eq!(decode_form_value(value).expose(), decoded);
}

fn bodies(name: &str, first: &str, second: &str, secret: &[u8]) {
    let body = encode_form(&[(name, first.as_bytes()), (second, secret), ("end", b"")]);
    let pairs: Vec<_> = form_urlencoded::parse(body.expose()).into_owned().collect();
    let secret = String::from_utf8_lossy(secret).into_owned();
    let expected =
        [(name, first), (second, secret.as_str()), ("end", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(pairs, expected);
    assert!(body.expose().iter().all(|b| b.is_ascii_alphanumeric() || b"%&=+*-._".contains(b)));
}

fn headers(user: &str, password: &[u8]) {
    let fits = |bytes: &[u8]| !bytes.is_empty() && bytes.len() <= 16 * 1024;
    let printable = |bytes: &[u8]| fits(bytes) && holds_no_refused(bytes);
    let of_one_line = |bytes: &[u8]| {
        bytes.utf8_chunks().all(|chunk| !chunk.valid().contains(['\r', '\n', '\0', '\u{feff}']))
    };

    let basic = Basic::new(user, password.to_vec());
    let taken = printable(user.as_bytes()) && !user.contains(':') && fits(password) && of_one_line(password);
    assert_eq!(basic.is_ok(), taken);
    if let Ok(basic) = basic {
        let pair = pair(basic_header(&basic));
        let colon = pair.iter().position(|&b| b == b':').unwrap();
        assert_eq!((&pair[..colon], &pair[colon + 1..]), (user.as_bytes(), password));
    }

    let client = ClientAuth::secret_basic(user, password.to_vec());
    let is_taken = signed_request(&client, &[]).is_ok();
    assert_eq!(is_taken, printable(user.as_bytes()) && printable(password));
    if is_taken {
        let pair = pair(&client_secret_basic(user, &password.to_vec().into()));
        let parts: Vec<_> = pair.split(|&b| b == b':').map(decode_form_value).collect();
        let [id, secret] = &parts[..] else { panic!("{} parts", parts.len()) };
        assert_eq!((id.expose(), secret.expose()), (user.as_bytes(), password));
    }
}

fn pair(header: &Secret) -> Vec<u8> {
    let text = header.expose_str().expect("a header is text");
    assert!(!text.contains(|c: char| c.is_ascii_control()));
    STANDARD.decode(text.strip_prefix("Basic ").unwrap()).unwrap()
}

fn clients(id: &str, secret: &[u8], name: &str, value: &str) {
    let secret = || secret.to_vec();
    for (way, client) in
        [ClientAuth::secret_basic(id, secret()), ClientAuth::secret_post(id, secret()), ClientAuth::none(id)]
            .into_iter()
            .enumerate()
    {
        let Ok((authorization, form)) = signed_request(&client, &[(name, value.as_bytes())]) else {
            continue;
        };
        assert_eq!(authorization.is_some(), way == 0);
        let form = form.unwrap();
        let mut pairs: Vec<_> = form_urlencoded::parse(form.expose()).into_owned().collect();
        assert_eq!(pairs.pop(), Some((name.to_owned(), value.to_owned())));
        let secret = String::from_utf8_lossy(&secret()).into_owned();
        let own = [("client_id", id.to_owned()), ("client_secret", secret)].map(|(k, v)| (k.to_owned(), v));
        assert_eq!(pairs, own[..[0, 2, 1][way]], "one method for each request");
    }
}
