use std::time::Duration;

use super::*;
use crate::clock::from_unix_seconds;
use crate::seeded::{Seeded, runs};

fn parse(json: &str) -> TokenAnswer {
    TokenAnswer::parse(&Secret::from(json)).expect(json)
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn token(extra: &str) -> Result<Token, &'static str> {
    let json = format!(r#"{{"access_token":"abc","token_type":"bearer"{extra}}}"#);
    parse(&json).into_token(at(1_000), &[])
}

#[test]
fn refusal_in_another_encoding_is_read_but_a_token_is_not() {
    let parse = |body: &[u8]| TokenAnswer::parse(&body.to_vec().into());
    let refusal =
        parse(b"{\"error\":\"invalid_grant\",\"error_description\":\"abgelaufen f\xfcr \xfe\"}").unwrap();
    assert_eq!(refusal.error_code(), Some("invalid_grant"));
    assert_eq!(refusal.words().unwrap().expose_str().unwrap(), printable("abgelaufen f\u{fffd}r \u{fffd}"));
    for spoilt in [
        &b"{\"access_token\":\"a\xfc\",\"token_type\":\"bearer\"}"[..],
        b"{\"access_token\":\"a\",\"token_type\":\"bearer\",\"refresh_token\":\"\xfc\"}",
        b"{\"access_token\":\"a\",\"scope\":\"\xfc\",\"refresh_token\":\"r\xff\xfe\",\"refresh_token\":\"b\"}",
        b"{\"scope\":\"\xe9\",\"access_token\":\"a\xc3\"}",
    ] {
        assert!(parse(spoilt).is_none(), "{}", String::from_utf8_lossy(spoilt));
    }
    assert!(parse(b"{\"error\":\"invalid_grant\xfc").is_none());
    let marked = parse("\u{feff}{\"access_token\":\"abc\",\"token_type\":\"bearer\"}".as_bytes()).unwrap();
    assert!(marked.into_token(at(1_000), &[]).is_ok());
}

#[test]
fn other_text_that_is_not_utf_8_does_not_invalidate_a_good_token() {
    for beside in [
        &b"\"scope\":\"caf\xe9\""[..],
        b"\"scope\":[\"\xff\"]",
        b"\"message\":\"f\xfcr\"",
        b"\"error_description\":\"\xc3\"",
        b"\"caf\xe9\":1",
        b"\"detail\":{\"msg\":\"\xed\xa0\x80\"}",
    ] {
        let body = [b"{\"access_token\":\"abc\",", beside, b",\"refresh_token\":\"ref\",\"expires_in\":60}"];
        let answer = TokenAnswer::parse(&body.concat().into());
        let answer = answer.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(beside)));
        let token = answer.into_token(at(1_000), &[]).unwrap();
        assert_eq!(token.access_token().expose(), b"abc");
        assert_eq!(token.refresh_token().unwrap().expose(), b"ref");
        assert_eq!((token.expires_at(), token.scope()), (Some(at(1_060)), None));
    }
}

#[test]
fn other_members_do_not_invalidate_a_good_access_token() {
    let token = |beside: &str| {
        let body = format!(r#"{{"access_token":"abc","token_type":"bearer"{beside}}}"#);
        TokenAnswer::parse(&body.into()).unwrap().into_token(at(1_000), &[]).unwrap()
    };
    for wrong in ["false", "5", "[\"a\"]", "null", "{}"] {
        let token = token(&format!(r#","refresh_token":{wrong},"client_secret":{wrong},"scope":{wrong}"#));
        assert!(token.refresh_token().is_none(), "{wrong}");
    }
    for (scope, expected) in [
        (r"a b:c/d", Some("a b:c/d")),
        (r"a\u001b]0;b", None),
        (r"a\nb", None),
        (r"\u00e9", None),
        ("", None),
    ] {
        assert_eq!(token(&format!(r#","scope":"{scope}""#)).scope(), expected, "{scope}");
    }
}

#[test]
fn lifetime_is_read_from_numbers_and_texts_in_any_unit() {
    for (extra, expected) in [
        (r#","expires_in":60"#, Some(at(1_060))),
        (r#","expires_in":"60""#, Some(at(1_060))),
        (r#","expires_in":60.0"#, Some(at(1_060))),
        (r#","expires_in":60.9"#, Some(at(1_060))),
        (r#","expires_in":"60.9s""#, None),
        (r#","expires_in":0.6e2"#, Some(at(1_060))),
        (r#","expires_in":6000E-2"#, Some(at(1_060))),
        (r#","expires_in":6e-999"#, Some(at(1_000))),
        (r#","expires_in":6e2147483648"#, None),
        (r#","expires_at":1030"#, Some(at(1_030))),
        (r#","expires_at":"1030""#, Some(at(1_030))),
        (r#","expires_in":60,"expires_at":1030"#, Some(at(1_030))),
        (r#","expires_in":20,"expires_at":1030"#, Some(at(1_020))),
        (r#","expires_in":0"#, Some(at(1_000))),
        (r#","expires_in":-5"#, Some(at(1_000))),
        (r#","expires_at":-5"#, Some(SystemTime::UNIX_EPOCH - Duration::from_secs(5))),
        ("", None),
        (r#","expires_in":null"#, None),
        (r#","expires_in":"soon""#, None),
        (r#","expires_in":"NaN""#, None),
        (r#","expires_in":"inf""#, None),
        (r#","expires_in":1e300"#, None),
        (r#","expires_in":18446744073709551615"#, None),
        (r#","expires_in":{"a":1}"#, None),
        (r#","expires_in":[true]"#, None),
        (r#","expires_at":"2026-01-01T00:00:00Z","expires_in":60"#, Some(at(1_060))),
        (r#","expires_at":"2026-01-01T00:00:00Z""#, None),
        // Milliseconds, microseconds and nanoseconds.
        (r#","expires_at":1760000000000"#, Some(at(1_760_000_000))),
        (r#","expires_at":"1760000000000""#, Some(at(1_760_000_000))),
        (r#","expires_at":1760000000000.0"#, Some(at(1_760_000_000))),
        (r#","expires_at":1.76e12"#, Some(at(1_760_000_000))),
        (r#","expires_at":1760000000000000"#, Some(at(1_760_000_000))),
        (r#","expires_at":1760000000000000000"#, Some(at(1_760_000_000))),
        (r#","expires_at":"1760000000000000000""#, Some(at(1_760_000_000))),
        (r#","expires_at":1760000000000,"expires_in":60"#, Some(at(1_060))),
        (r#","expires_at":253402300799"#, Some(at(253_402_300_799))),
        (r#","expires_at":253402300800"#, None),
        (r#","expires_at":1760000000123"#, Some(at(1_760_000_000) + Duration::from_millis(123))),
        (r#","expires_at":99999999999999999999"#, None),
        // Ticks of Windows and of .NET, of October 2025.
        (r#","expires_at":134044736000000000"#, None),
        (r#","expires_at":"638956932000000000""#, None),
        (r#","expires_in":253402299799"#, Some(at(253_402_300_799))),
        (r#","expires_in":253402299800"#, None),
        (r#","expires_in":1760000000000"#, None),
        (r#","expires_in":253402299800,"expires_at":1030"#, Some(at(1_030))),
    ] {
        assert_eq!(token(extra).expect(extra).expires_at(), expected, "{extra}");
    }
}

/// Compares with integers that cannot overflow, for all values of a server and of the clock.
#[test]
fn lifetime_is_exact_for_all_numbers_and_clocks() {
    const YEAR_9999: i128 = 253_402_300_799;
    let range = i128::from(i64::MIN)..=i128::from(i64::MAX);
    let in_seconds = |time: SystemTime| match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i128::from(since.as_secs()),
        Err(before) => -i128::from(before.duration().as_secs()),
    };
    let mut seeded = Seeded::new(3);
    for _ in 0..runs(20_000) {
        let obtained = seeded.any_seconds();
        let obtained_at = from_unix_seconds(obtained);
        let sign = if seeded.below(4) == 0 { -1 } else { 1 };
        let expires_in = (seeded.below(3) > 0).then(|| sign * i128::from(seeded.any_number()));
        let expires_at = (seeded.below(3) > 0).then(|| i128::from(seeded.any_seconds()));
        let quote = ["", "\""][seeded.below(2)];
        let mut json = r#"{"access_token":"abc","token_type":"bearer""#.to_owned();
        for (name, number) in [("expires_in", expires_in), ("expires_at", expires_at)] {
            let number = number.map(|number| format!(r#","{name}":{quote}{number}{quote}"#));
            json.push_str(&number.unwrap_or_default());
        }
        let ours = parse(&(json.clone() + "}")).into_token(obtained_at, &[]).expect(&json).expires_at();

        let relative = expires_in.map(|number| i128::from(obtained) + number.max(0));
        let within = |at: &i128| range.contains(at) && *at <= YEAR_9999;
        // The largest number stands for all above it.
        let absolute = expires_at.filter(|at| at < range.end()).and_then(|at| {
            let units = [1_000, 1_000_000, 1_000_000_000];
            let mut other = units.map(|unit| at / unit).into_iter();
            if within(&at) { Some(at) } else { other.find(|at| (1_000_000_000..=7_258_118_400).contains(at)) }
        });
        let expected = [relative.filter(within), absolute].into_iter().flatten().min();
        assert_eq!(ours.map(in_seconds), expected, "{json} at {obtained}");
    }
}

#[test]
fn token_type_must_be_bearer_in_any_case_or_absent() {
    for (member, is_bearer) in [
        ("", true),
        (r#","token_type":"bearer""#, true),
        (r#","token_type":"BEARER""#, true),
        (r#","token_type":"b\u0065arer""#, true),
        (r#","token_type":"mac""#, false),
        (r#","token_type":"Bearer ""#, false),
        (r#","token_type":"""#, false),
        (r#","token_type":null"#, false),
        (r#","token_type":5"#, false),
        (r#","token_type":["bearer"]"#, false),
        (r#","token_type":{"msg":"bearer"}"#, false),
    ] {
        let json = format!(r#"{{"access_token":"abc"{member}}}"#);
        let result = parse(&json).into_token(at(0), &[]).map(drop);
        let expected = if is_bearer { Ok(()) } else { Err("its token_type is not Bearer (RFC 6749 7.1)") };
        assert_eq!(result, expected, "{member}");
    }
}

#[test]
fn scope_and_refresh_token_are_kept() {
    let full = token(r#","scope":"a b","refresh_token":"r","more":{"deep":[1]}"#).unwrap();
    assert_eq!(full.scope(), Some("a b"));
    assert_eq!(full.refresh_token().unwrap().expose(), b"r");
    assert!(token(r#","refresh_token":"""#).unwrap().refresh_token().is_none());
}

#[test]
fn answer_with_an_access_token_of_another_type_is_refused() {
    for json in [r#"{"access_token":5}"#, r#"{"access_token":["a"]}"#, "[]", "", "null", "{"] {
        assert!(TokenAnswer::parse(&Secret::from(json)).is_none(), "{json}");
    }
}

#[test]
fn words_of_a_server_are_found_in_each_format() {
    for (json, code, words) in [
        (r#"{"error":"invalid_client"}"#, Some("invalid_client"), None),
        (
            r#"{"error":"invalid_client","error_description":"no such"}"#,
            Some("invalid_client"),
            Some("no such"),
        ),
        (r#"{"detail":"Access Denied"}"#, None, Some("Access Denied")),
        (
            r#"{"detail":[{"loc":["body"],"msg":"field required","type":"x"},{"msg":"and"}]}"#,
            None,
            Some("field required and"),
        ),
        (r#"{"type":"unauthorized","message":"Wrong id"}"#, None, Some("Wrong id")),
        (r#"{"type":"invalid_grant","message":"It ended"}"#, Some("invalid_grant"), Some("It ended")),
        (r#"{"error":"two words"}"#, None, Some("two words")),
        (r#"{"error":{"code":5,"message":"so nested"}}"#, None, Some("so nested")),
        (r#"{"detail":{"a":1}}"#, None, None),
        ("{}", None, None),
    ] {
        let answer = parse(json);
        let shown = answer.words();
        let shown = shown.as_ref().and_then(Secret::expose_str);
        assert_eq!((answer.error_code(), shown), (code, words), "{json}");
    }
}

#[test]
fn error_member_is_an_error_unless_it_is_empty() {
    for (json, error) in [
        (r#"{"error":"x"}"#, true),
        (r#"{"error":{"a":1}}"#, true),
        (r#"{"error":true}"#, true),
        (r#"{"error":1}"#, true),
        (r#"{"error":-0.1}"#, true),
        (r#"{"error":" "}"#, true),
        (r#"{"error":"0"}"#, true),
        (r#"{"error":"false"}"#, true),
        (r#"{"error":[0]}"#, true),
        (r#"{"error":[[]]}"#, true),
        (r#"{"error":{"":null}}"#, true),
        (r#"{"error":null}"#, false),
        (r#"{"error":false}"#, false),
        (r#"{"error":0}"#, false),
        (r#"{"error":0.0}"#, false),
        (r#"{"error":-0}"#, false),
        (r#"{"error":0e5}"#, false),
        (r#"{"error":-0.00E-3}"#, false),
        (r#"{"error":null,"error_description":"all is well"}"#, false),
        (r#"{"error": "" ,"error_uri":"https://a.example/"}"#, false),
        (r#"{"error":0.0000001}"#, true),
        (r#"{"error":"\u0000"}"#, true),
        (r#"{"error":[""]}"#, true),
        (r#"{"error":""}"#, false),
        (r#"{"error":{}}"#, false),
        (r#"{"error":[]}"#, false),
        ("{\"error\": [ \n ] }", false),
        ("{\"error\":{\t} }", false),
        ("{}", false),
        // The last one counts.
        (r#"{"error":"x","error":null}"#, false),
        (r#"{"error":null,"\u0065rror":"x"}"#, true),
    ] {
        assert_eq!(parse(json).has_error(), error, "{json}");
    }
}

#[test]
fn last_of_two_equal_members_counts() {
    for (extra, expires_in, scope) in [
        (r#","expires_in":60,"expires_in":20"#, Some(20), None),
        (r#","expires_in":60,"expires\u005fin":20"#, Some(20), None),
        (r#","expires_in":60,"expires_in":null"#, None, None),
        (r#","expires_in":{"a":1,"a":2},"expires_in":"20""#, Some(20), None),
        (r#","scope":"a","scope":["b","c"]"#, None, Some("b c")),
        (r#","more":1,"more":{"x":1,"x":2}"#, None, None),
        (r#","token_type":"mac","token_type":"Bearer""#, None, None),
        (r#","expires_at":1060,"expires_at":1020"#, Some(20), None),
        (r#","scope":["a"],"scope":"b c","scope":null"#, None, None),
        (r#","expires_in":20,"expires_in":[60],"expires_in":"40","more":{"expires_in":5}"#, Some(40), None),
        (r#","expires_in":60,"expires_at":1050,"expires_in":"soon""#, Some(50), None),
    ] {
        let token = token(extra).expect(extra);
        assert_eq!(token.expires_at(), expires_in.map(|life| at(1_000 + life)), "{extra}");
        assert_eq!(token.scope(), scope, "{extra}");
    }
    let answer = r#"{"access_token":5,"access_token":"first","access_token":"abc","token_type":"bearer","refresh_token":"r","refresh_token":"s"}"#;
    let answer = parse(answer);
    let secrets: Vec<_> = answer.secrets().map(<[u8]>::to_vec).collect();
    assert_eq!(secrets, [b"abc".to_vec(), b"s".to_vec(), b"first".to_vec(), b"r".to_vec()]);
    let token = answer.into_token(at(0), &[]).unwrap();
    assert_eq!(token.access_token().expose(), b"abc");
    assert_eq!(token.refresh_token().unwrap().expose(), b"s");
    let last_is_no_text = r#"{"access_token":"abc","access_token":5,"token_type":"bearer"}"#;
    assert!(TokenAnswer::parse(&last_is_no_text.into()).is_none());
    for (json, code, words) in [
        (r#"{"error":"a","error":"b"}"#, Some("b"), None),
        (r#"{"error":"a","error_description":"x","error_description":"y"}"#, Some("a"), Some("y")),
        (r#"{"detail":[{"msg":"x","msg":"y"}]}"#, None, Some("y")),
        (r#"{"error":{"message":"x","message":"the y"}}"#, None, Some("the y")),
    ] {
        let answer = parse(json);
        let shown = answer.words();
        assert_eq!(
            (answer.error_code(), shown.as_ref().and_then(Secret::expose_str)),
            (code, words),
            "{json}"
        );
    }
}

#[test]
fn scope_may_be_a_list_of_up_to_16_kib() {
    let scope = |scopes: &[String]| {
        let list = serde_json::to_string(scopes).unwrap();
        let as_list = token(&format!(r#","scope":{list}"#)).unwrap().scope().map(str::to_owned);
        let text = serde_json::to_string(&scopes.join(" ")).unwrap();
        let as_text = token(&format!(r#","scope":{text}"#)).unwrap().scope().map(str::to_owned);
        assert_eq!(as_list, as_text);
        as_list
    };
    let named = |count: usize| (0..count).map(|i| format!("scope.{i:04}")).collect::<Vec<_>>();
    // 11 bytes each, with a space between them.
    for count in [1, 8, 9, 10, 100, 1_489] {
        assert_eq!(scope(&named(count)), Some(named(count).join(" ")), "{count}");
    }
    for count in [1_490, 3_000] {
        assert_eq!(scope(&named(count)), Some(named(1_489).join(" ")), "{count}");
    }
    assert_eq!(scope(&["a".repeat(16 * 1024)]), Some("a".repeat(16 * 1024)));
    assert_eq!(scope(&["a".repeat(16 * 1024 + 1)]), None);
    assert_eq!(scope(&[]), None);
    let mixed = token(r#","scope":["a",5,null,"b",["c"]]"#).unwrap();
    assert_eq!(mixed.scope(), Some("a b c"));
    for (list, expected) in [
        (r#"["a","","b"]"#, Some("a b")),
        (r#"["a b","c"]"#, Some("a b c")),
        (r#"["a",["b",["c","d"]],"e","f","g","h","i","j"]"#, Some("a b c d e f g h i j")),
        (r#"["a","\u0061\u002eb","a"]"#, Some("a a.b a")),
        (r#"["a","b\u001b"]"#, None),
        ("[[],[]]", None),
    ] {
        assert_eq!(token(&format!(r#","scope":{list}"#)).unwrap().scope(), expected, "{list}");
    }
}

#[test]
fn deep_and_wide_json_is_read_or_refused() {
    let deep = format!(r#"{{"detail":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(parse(&deep).words().is_none());
    let wide = format!(r#"{{"detail":[{}1]}}"#, r#"{"msg":"m"},"#.repeat(50_000));
    assert_eq!(parse(&wide).words().unwrap().expose_str(), Some("m m m m m m m m"));
}
