//! A server's own words (`src/encode/words.rs`): 12 consecutive bytes of a secret are recognized in every
//! encoding.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use keyfob::internals::{printable, repeats};
use keyfob_fuzz::{Input, PIECE, guises, is_one_line};
use libfuzzer_sys::fuzz_target;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

const BUT_PLUS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'+');

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (guise, start, more, fill) = (input.byte(), input.byte(), input.byte(), input.byte());
    // No longer than the text that is shown of a server.
    let [before, after] = [(); 2].map(|()| input.text().chars().take(100).collect::<String>());
    // Long secrets are recognized too.
    let filled = if fill.is_multiple_of(4) { usize::from(fill) * 2 } else { 0 };
    let secret = [vec![b'x'; filled], input.rest().iter().take(64).copied().collect()].concat();

    let line = printable(&before);
    is_one_line(&line, 200);
    assert_eq!(printable(&line), line, "shown twice, it is the same");
    assert!(line.len() <= before.len());

    if secret.is_empty() {
        return;
    }
    let printed = String::from_utf8(secret.clone()).map(|secret| printable(&secret)).unwrap_or_default();
    let least = secret.len().min(PIECE).min(printed.len().clamp(1, PIECE));
    assert!(before.len() >= least || !repeats(&before, &secret), "seen where it cannot be");

    // A piece of the secret, somewhere in a text.
    let size = (PIECE + usize::from(more)).min(secret.len());
    let start = (usize::from(start) + filled) % (secret.len() - size + 1);
    let piece = &secret[start..start + size];
    let shown = match guise % 9 {
        at @ 0..5 => guises(piece)[usize::from(at)].clone(),
        // The piece is part of a longer text, which may start and end anywhere.
        5 => {
            let longer = STANDARD.encode([before.as_bytes(), piece, after.as_bytes()].concat());
            [&b"xyz"[..usize::from(more % 4)], longer.as_bytes()].concat()
        }
        6 => percent_encode(STANDARD.encode(piece).as_bytes(), NON_ALPHANUMERIC).to_string().into_bytes(),
        // No more characters than needed for its bytes.
        7 => {
            let whole = STANDARD_NO_PAD.encode(&secret).into_bytes();
            whole[start * 8 / 6..((start + size) * 8).div_ceil(6)].to_vec()
        }
        _ => percent_encode(piece, BUT_PLUS).to_string().into_bytes(),
    };
    let Ok(shown) = String::from_utf8(shown) else { return };
    let text = format!("{before} {shown} {after}");
    assert!(repeats(&text, &secret), "{text:?} repeats {secret:?}");
    // A piece that `printable` changes is still recognized, if it is long enough and is text.
    let seen = !printed.is_empty() && printable(&shown).trim().len() >= secret.len().min(PIECE);
    if seen && text.chars().count() <= 200 {
        let text = printable(&text);
        assert!(repeats(&text, &secret), "{text:?} shows {secret:?}");
    }
});
