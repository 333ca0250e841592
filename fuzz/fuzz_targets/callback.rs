//! The callback that a browser delivers or a person pastes (`src/login/callback.rs`).
#![no_main]

use std::sync::LazyLock;

use keyfob::internals::{Callback, callback};
use keyfob::{ClientAuth, ErrorKind, Secret, Transport, flow::AuthorizationCode};
use keyfob_fuzz::{Input, Mark, is_one_line};
use libfuzzer_sys::fuzz_target;

/// The secret has no space, like all secrets that are sent. Beside eleven bytes of it, a space in keyfob's
/// own text would match as the twelfth.
static STATE: LazyLock<Mark> = LazyLock::new(|| Mark::new("st4te-7Vq~Zr2*w+/x="));
const ISSUER: &str = "https://as.example";

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let how = input.byte();
    let query = STATE.plant(1, input.rest());
    if how & 4 != 0 {
        return paste(&query);
    }
    let state = (how & 1 != 0).then(|| Secret::from(STATE.text()));
    let issuer = (how & 2 != 0).then_some(ISSUER);
    let outcome = callback(&query, state.as_ref(), issuer);

    // A second parser of the same query. Bytes that are not UTF-8 become a replacement character, which no
    // value here contains. HTML has `&amp;` for the `&` before a parameter.
    let pairs = query.split(|&byte| byte == b'&').map(|pair| pair.strip_prefix(b"amp;").unwrap_or(pair));
    let query = pairs.collect::<Vec<_>>().join(&b'&');
    let values = |name: &str| -> Vec<String> {
        let pairs = form_urlencoded::parse(&query);
        pairs
            .filter(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.into_owned())
            .collect()
    };
    let (states, codes, errors) = (values("state"), values("code"), values("error"));
    let belongs = states == state.as_ref().map(|_| STATE.text().to_owned()).into_iter().collect::<Vec<_>>();
    let says = !codes.is_empty() || !errors.is_empty();
    match outcome {
        Callback::Unrelated(why) => assert!(!belongs || !says, "rejected as {why}"),
        Callback::Code(code) => {
            assert!(belongs && errors.is_empty());
            assert_eq!(codes, [code.expose_str().expect("a code is text")]);
            assert!(!code.expose().iter().any(u8::is_ascii_control));
            assert!(issuer.is_none_or(|issuer| values("iss") == [issuer]));
        }
        Callback::Failed { kind, text, oauth_error } => {
            // With the right state, the callback is an answer of the server, even without a message.
            assert!(belongs, "judged before its state was: {text}");
            is_one_line(&text, 600);
            // If no state was sent, there is none to hide.
            let hides = |shown: &str| state.iter().for_each(|_| STATE.is_hidden_in(shown));
            hides(&text);
            match kind {
                ErrorKind::Refused | ErrorKind::LoginRequired => {
                    let is_denied = oauth_error.as_deref() == Some("access_denied");
                    assert_eq!(kind == ErrorKind::LoginRequired, is_denied);
                    assert!(issuer.is_none_or(|issuer| values("iss") == [issuer]));
                    assert!(codes.is_empty() && errors.len() == 1);
                }
                kind => assert_eq!((kind, &oauth_error), (ErrorKind::Protocol, &None)),
            }
            if let Some(code) = oauth_error {
                assert_eq!(errors, [code.as_str()]);
                assert!(code.bytes().all(|b| b.is_ascii_graphic()) && code.len() <= 64);
                hides(&code);
            }
        }
    }
});

/// A pasted address without the state, which is unknown here, causes no request.
fn paste(url: &[u8]) {
    thread_local! {
        static FLOW: AuthorizationCode = AuthorizationCode::new("http://127.0.0.1:9/authorize", "http://127.0.0.1:9/token", ClientAuth::none("id"), "app.example:/callback");
        static HTTP: Transport = Transport::new();
    }
    let Ok(url) = std::str::from_utf8(url) else { return };
    let login = FLOW.with(|flow| HTTP.with(|http| flow.clone().with_scope("a").start(http))).unwrap();
    let error = login.finish(url).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Protocol), "{error:?}");
    is_one_line(&error.to_string(), 400);
    STATE.is_hidden_in(&format!("{error:?}"));
}
