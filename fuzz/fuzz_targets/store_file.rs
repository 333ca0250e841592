//! The file of a store (`src/store/record.rs`).
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use keyfob::internals::recall;
use keyfob::{Clock, ErrorKind, Record, RecordName, Secret, Token};
use keyfob_fuzz::{Input, Mark, is_json, is_one_line, unmarked};
use libfuzzer_sys::fuzz_target;

static MARK: LazyLock<Mark> = LazyLock::new(|| Mark::new("m4rk-Hk4.Wm9_Yb2~Rd6"));

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    if input.byte() & 1 == 0 {
        read(MARK.plant(1, input.rest()));
    } else {
        write(input);
    }
});

/// Any content of the file.
fn read(content: Vec<u8>) {
    let name = RecordName::new("spatiafi", "https://as.example/token", "client").unwrap();
    let other = name.clone().with_profile("other");
    let content = Secret::from(content);
    let text = unmarked(content.expose());
    let json = keyfob_fuzz::json(text);
    match Record::from_bytes(&name, &content) {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Store);
            assert!(json.is_none_or(|json| json["version"].as_u64().is_some_and(|version| version > 1)));
            is_one_line(&error.to_string(), 200);
            MARK.is_hidden_in(&format!("{error:?}"));
        }
        Ok(None) => {}
        Ok(Some(record)) => {
            assert!(is_json(text));
            if let Some(json) = json {
                assert_eq!(json["version"], 1);
                assert_eq!(json["access_token"], record.token().access_token().expose_str().unwrap());
                assert_eq!(json["clock_offset"], record.clock_offset());
            }
            assert!(
                Record::from_bytes(&other, &content).unwrap().is_none(),
                "a record of another name was taken"
            );
            MARK.is_hidden_in(&format!("{record:?}").replace(&format!("{:?}", record.token().scope()), ""));
            comes_back(&name, &record);
            for now in [0, 1_700_000_000, u64::MAX >> 2] {
                let clock = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(now));
                recall(&clock, &record);
                let _ = clock.now();
            }
        }
    }
}

/// Any record.
fn write(mut input: Input<'_>) {
    let seconds = |number: u64| {
        let since = Duration::from_secs(number >> 2);
        let epoch = SystemTime::UNIX_EPOCH;
        if number & 1 == 0 { epoch + since } else { epoch - since }
    };
    let offset = input.number().cast_signed();
    let (obtained_at, expires_at) = (seconds(input.number()), input.number());
    let texts: [String; 6] = std::array::from_fn(|_| input.text());
    let [service, url, client, profile, refresh_token, scope] = &texts;
    let access_token: String = String::from_utf8_lossy(input.rest()).into_owned();
    let Ok(name) = RecordName::new(service, url, client).map(|name| name.with_profile(profile)) else {
        return;
    };
    let Ok(mut token) = Token::new(access_token, obtained_at) else { return };
    if expires_at & 2 == 0 {
        token = token.with_expires_at(seconds(expires_at));
    }
    if !refresh_token.is_empty() {
        token = token.with_refresh_token(refresh_token.as_str());
    }
    if !scope.is_empty() {
        token = token.with_scope(scope);
    }
    comes_back(&name, &Record::new(token, offset));
}

fn comes_back(name: &RecordName, record: &Record) {
    let parts = |record: &Record| {
        let token = record.token();
        let secret = |secret: &Secret| secret.expose().to_vec();
        (
            secret(token.access_token()),
            token.refresh_token().map(secret),
            token.expires_at().map(held),
            held(token.obtained_at()),
            token.scope().filter(|scope| is_list(scope)).map(str::to_owned),
            record.clock_offset(),
        )
    };
    let again =
        Record::from_bytes(name, &record.to_bytes(name)).unwrap().expect("what was written can be read");
    assert_eq!(parts(&again), parts(record));
}

/// A scope that is not a list of scopes (RFC 6749 3.3) is not read, because people are shown it.
fn is_list(scope: &str) -> bool {
    scope.bytes().all(|byte| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~'))
}

/// In whole seconds, and without the smallest negative number, which has no positive counterpart.
fn held(time: SystemTime) -> SystemTime {
    let time = time.max(SystemTime::UNIX_EPOCH - Duration::from_secs(i64::MAX.unsigned_abs()));
    let fraction = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    time - Duration::from_nanos(fraction.into())
}
