//! A partner of Spacebring, from the first login to the last day: a person logs in with a browser, the locations are
//! listed, the token is renewed, they are listed again, and the login is revoked.
//!
//! `cargo run --example spacebring_partner [-- --keep] [--paste]`
//!
//! With `--keep` it ends after the first list. The tokens stay in `KEYFOB_STORE`, or in the user's own folder, so the
//! next run needs no person, and no token request while the access token is valid. With `--paste` the browser may be on
//! another machine: the address that it ends at is read from standard input.

use std::io::stdin;
use std::process::ExitCode;
use std::time::Duration;

use keyfob::spacebring::{Pages, Partner, scope};
use keyfob::{Error, ErrorKind};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.kind().exit_status())
        }
    }
}

fn run() -> Result<(), Error> {
    let partner = Partner::from_env()?;
    match list_locations(&partner) {
        // Nobody has logged in, or the login was revoked elsewhere or has expired for good.
        Err(error) if error.kind() == ErrorKind::LoginRequired => {
            log_in(&partner)?;
            list_locations(&partner)?;
        }
        result => result?,
    }
    if is_given("--keep") {
        return Ok(());
    }

    // An agent renews by itself, before the token expires and when the server refuses it. This is how to ask for it.
    partner.source().renew()?;
    eprintln!("renewed the access token");
    list_locations(&partner)?;

    partner.revoke()?;
    eprintln!("revoked the login");
    Ok(())
}

fn log_in(partner: &Partner) -> Result<(), Error> {
    let login = partner.start_login_for(scope::LOCATIONS_READONLY)?;
    let paste = is_given("--paste");
    if !paste {
        login.can_wait()?;
    }
    eprintln!("open {}", login.url());
    let token = if paste {
        eprintln!("then paste the address that the browser ends at:");
        let mut callback_url = String::new();
        // What cannot be read is no callback URL either.
        let _ = stdin().read_line(&mut callback_url);
        login.finish(&callback_url)?
    } else {
        login.wait(Duration::from_secs(300))?
    };
    if let Err(error) = partner.finish_login(token) {
        eprintln!("warning: {error}");
    }
    Ok(())
}

fn list_locations(partner: &Partner) -> Result<(), Error> {
    for page in Pages::new(&partner.agent(), &format!("{}/locations/v1", partner.api_url()))? {
        for location in page?["locations"].as_array().into_iter().flatten() {
            println!("{location}");
        }
    }
    Ok(())
}

fn is_given(option: &str) -> bool {
    std::env::args().skip(1).any(|argument| argument == option)
}
