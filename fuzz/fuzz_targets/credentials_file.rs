//! The file of app credentials, and the answer that is saved to it (`src/sys/credentials.rs`).
#![no_main]

use keyfob::internals::decode_credentials;
use keyfob_fuzz::{holds_no_refused, is_json, unmarked};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let text_of = unmarked(data);
    let json = keyfob_fuzz::json(text_of);
    let text = |json: &Value, name: &str| json[name].as_str().map(str::to_owned);
    if let Some(credentials) = decode_credentials(data) {
        assert!(is_json(text_of));
        let Some(json) = &json else { return };
        assert!(json.is_object());
        assert_eq!(text(json, "client_id").as_deref(), Some(credentials.client_id()));
        assert_eq!(text(json, "client_secret").as_deref(), credentials.client_secret().expose_str());
        for value in [credentials.client_id().as_bytes(), credentials.client_secret().expose()] {
            assert!(good(value));
        }
        let id = credentials.client_id();
        let shown = format!("AppCredentials {{ client_id: {id:?}, client_secret: Secret(***) }}");
        assert_eq!(format!("{credentials:?}"), shown);
    }
    // Serialized again, so that no member is repeated.
    let Some(json) = json.filter(Value::is_object) else { return };
    let usable = ["client_id", "client_secret"]
        .iter()
        .all(|name| text(&json, name).is_some_and(|t| good(t.as_bytes())));
    assert_eq!(decode_credentials(json.to_string().as_bytes()).is_some(), usable);
});

fn good(value: &[u8]) -> bool {
    !value.is_empty() && value.len() <= 16 * 1024 && holds_no_refused(value)
}
