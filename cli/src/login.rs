//! `keyfob <service> login` and `revoke`, for a service with a login of a person in a browser.

use std::io::{self, IsTerminal as _};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use keyfob::flow::PendingLogin;
use keyfob::{Error, ErrorKind, Service, Token, TokenStore as _};
use keyfob_config::clock::Deadline;
use keyfob_config::{KnownService, Way, nearest};

use crate::args::PersonLogin;
use crate::catalog;
use crate::failure::Failure;
use crate::line::MAX_LEN;
use crate::output::say;
use crate::service::Client;
use crate::terminal::{self, Typed};

/// How long a person may take to log in.
const LOGIN_TIME: Duration = Duration::from_secs(300);

/// How long a login waits to see that its tokens can be stored.
const LOCK_TIME: Duration = Duration::from_secs(5);

pub fn log_in(client: &Client, options: &PersonLogin) -> Result<(), Failure> {
    client.known.check_login(options.device)?;
    let scope = scopes(&client.known, options)?.join(" ");
    let way = if options.device { Way::Device } else { Way::Tokens };
    let service = client.service(way, |mut builder| {
        if !scope.is_empty() {
            builder = builder.scope(&scope);
        }
        if options.without_state {
            builder = builder.without_state();
        }
        if options.without_pkce {
            builder = builder.without_pkce();
        }
        if options.without_redirect_uri {
            builder = builder.without_redirect_uri();
        }
        builder
    })?;
    let is_device = service.grant() == "device_code";
    if is_device && options.no_browser {
        return Err(Failure::invalid(
            "--no-browser is for a login with a browser, and this one shows a code: leave it out",
        ));
    }
    if service.grant() == "authorization_code" && !options.no_browser && !is_watched() {
        return Err(Failure::new(
            ErrorKind::LoginRequired,
            "there is no terminal, so nobody may be there to log in: run it in a terminal, or with --no-browser and \
             the address that the browser ends at on standard input",
        ));
    }
    // Proves that the tokens can be stored, before a person is sent to the browser.
    if let Some(name) = service.record_name().filter(|_| is_device || service.grant() == "authorization_code")
    {
        client.settings.store()?.lock(name, LOCK_TIME)?.prepare()?;
    }

    // All secrets have been read. No program that is started from here on may receive one.
    catalog::secrets().close_descriptors();
    let token = if is_device { by_device(client, &service)? } else { by_browser(client, &service, options)? };
    let granted = token.scope().map(|scope| format!(" for {scope}")).unwrap_or_default();
    service.finish_login(token).map_err(|error| {
        let text = format!("the login succeeded, but its tokens could not be stored: {error}");
        Failure::new(ErrorKind::Store, text)
    })?;
    say(&format!("logged in{granted}"));
    let is_chosen = client.known.definition().is_some_and(|definition| definition.basic.is_some());
    if is_chosen && matches!(client.signs_with(), Ok("basic")) {
        let name = client.variable("auth");
        say(&format!(
            "set {name}=oauth2 to sign requests with this login; until then they are signed with id and secret"
        ));
    }
    Ok(())
}

fn is_watched() -> bool {
    io::stdin().is_terminal() || io::stderr().is_terminal()
}

/// Waits for a login on any device. Works without a terminal, because the code may be read from a log.
fn by_device(client: &Client, service: &Service) -> Result<Token, Failure> {
    let login = service.start_login()?;
    let code = login.user_code().unwrap_or_default();
    say(&format!("open {} on any device, and enter the code {code}", login.verification_uri()));
    if login.url() != login.verification_uri() {
        say(&format!("or open {}, and compare the code", login.url()));
    }
    // Without an option, the code itself ends the wait.
    let time = client.settings.timeout.or_else(|| {
        let left = login.expires_at()?.duration_since(client.settings.http.clock().now());
        Some(left.unwrap_or_default())
    });
    Ok(login.wait(time.unwrap_or(LOGIN_TIME))?)
}

fn by_browser(client: &Client, service: &Service, options: &PersonLogin) -> Result<Token, Failure> {
    let mut login = service.start_login()?;
    let deadline = Deadline::after(client.settings.timeout.unwrap_or(LOGIN_TIME));
    Ok(if options.no_browser {
        match pasted(&login, &deadline)? {
            Some(callback) => login.finish(&callback),
            // There is no input at all. The browser may be on this machine.
            None => login.wait(deadline.remaining()),
        }
    } else {
        // Fails if the port is taken, because the program that has taken it would get the code.
        login.can_wait()?;
        if open_browser(&login.one_time_url()?) {
            say("log in with the browser that has opened; if none has, open this address:");
        } else {
            say(
                "no browser could be started: open this address, or try --no-browser if it is on another machine:",
            );
        }
        say(login.url());
        login.wait(deadline.remaining())
    }?)
}

pub fn revoke(client: &Client) -> Result<(), Failure> {
    client.known.check_endpoint("revocation_url")?;
    let service = client.with_tokens()?;
    if client.known.needs_login() {
        client.resume(&service)?;
    }
    service.revoke()?;
    say(if client.known.needs_login() {
        "the login has ended, and its tokens are removed"
    } else {
        "the token is revoked and removed"
    });
    Ok(())
}

/// Returns the scopes to ask for. Default: that of the configuration, or else those that read everything and change nothing.
fn scopes(known: &KnownService<'_>, options: &PersonLogin) -> Result<Vec<String>, Failure> {
    let all = known.definition().map(|definition| definition.scopes).unwrap_or_default();
    let published = || all.iter().map(|(name, _)| *name);
    if options.scopes.is_empty() {
        if let Some(scope) = known.scope()? {
            return Ok(vec![scope]);
        }
        return Ok(published().filter(|name| name.ends_with(".readonly")).map(str::to_owned).collect());
    }
    for wanted in &options.scopes {
        if all.is_empty() || options.allow_unknown_scope || published().any(|name| name == wanted) {
            continue;
        }
        let title = known.title();
        let all = published().collect::<Vec<_>>().join(", ");
        // Not more than two or three typing errors.
        let like = nearest(wanted, published()).filter(|(_, distance)| *distance <= 3);
        let hint = like.map_or_else(|| ".".to_owned(), |(name, _)| format!("; is {name:?} meant?"));
        return Err(Failure::invalid(format!(
            "{title} has published no scope {wanted:?}{hint} There are: {all}. --allow-unknown-scope asks \
             for it anyway"
        )));
    }
    Ok(options.scopes.clone())
}

/// Returns the address that the browser ended at, which a person pastes. Asks again if it cannot be that of this login. `None` if there is no
/// input at all, as in `/dev/null`.
fn pasted(login: &PendingLogin, deadline: &Deadline) -> Result<Option<String>, Failure> {
    terminal::with_input(true, |input| {
        say(&format!("open {}", login.url()));
        say("log in there, and paste the address that the browser ends at:");
        let mut begun = String::new();
        let mut refused = None;
        loop {
            let why = match input.line(deadline, true)? {
                Typed::Line(line) => match line.expose_str() {
                    Some(text) => match callback(login, addresses(text), &mut begun) {
                        Ok(callback) => return Ok(Some(callback)),
                        Err(Some(why)) => why.into(),
                        Err(None) => {
                            say(&format!("nothing was pasted: {PASTE}"));
                            continue;
                        }
                    },
                    None => Failure::invalid(format!("the pasted text is not UTF-8: {PASTE}")),
                },
                Typed::TooLong => Failure::invalid(format!("{}: {PASTE}", terminal::too_long())),
                Typed::End if input.is_nothing() => return Ok(None),
                Typed::End => {
                    return Err(Failure::new(
                        refused.unwrap_or(ErrorKind::LoginRequired),
                        "standard input ended before the address of this login came: log in again",
                    ));
                }
                Typed::Late => {
                    return Err(Failure::new(
                        ErrorKind::Timeout,
                        "no address was pasted in time: log in again",
                    ));
                }
            };
            say(&why.to_string());
            refused = why.kind().or(refused);
        }
    })
}

const PASTE: &str = "paste the whole address that the browser shows after the login";

/// Returns the callback of the login among the pasted addresses, or why the last one cannot be that. `begun` is the text that was pasted
/// before.
fn callback(
    login: &PendingLogin,
    addresses: Vec<(bool, String)>,
    begun: &mut String,
) -> Result<String, Option<Error>> {
    let mut why = None;
    for (is_new, address) in addresses {
        let before = std::mem::take(begun);
        // The length stays bounded, however many wrong lines are pasted.
        *begun = if is_new || before.len() > MAX_LEN { address.clone() } else { before + &address };
        for candidate in [&address, &*begun] {
            match login.can_finish(candidate) {
                Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Protocol) => {
                    why = Some(error);
                }
                // Any other error is the answer of the server, and ends the login.
                _ => return Ok(candidate.clone()),
            }
        }
    }
    Err(why)
}

/// Returns the addresses in a paste, and whether each begins in it. A terminal or a mail program may have split an address into lines.
fn addresses(pasted: &str) -> Vec<(bool, String)> {
    let mut addresses: Vec<(bool, String)> = Vec::new();
    for line in pasted.lines() {
        // Mail programs put a '>' before the lines of an older mail.
        let line = line.trim_start_matches(|c: char| c.is_whitespace() || c == '>').trim_end();
        if line.is_empty() {
            continue;
        }
        let bare = line.trim_start_matches(['<', '"', '\'']);
        let (scheme, rest) = bare.split_once(':').unwrap_or_default();
        let is_scheme = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
        let is_new = !scheme.is_empty() && scheme.bytes().all(is_scheme) && rest.starts_with('/');
        match addresses.last_mut() {
            Some((_, address)) if !is_new => address.push_str(line),
            _ => addresses.push((is_new, line.to_owned())),
        }
    }
    addresses
}

/// Opens the address, and returns whether a program for that was started. Other users of the machine can read its command line.
fn open_browser(one_time_url: &str) -> bool {
    open::commands(one_time_url).into_iter().any(|mut command| {
        catalog::secrets().keep_from(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Signals of the terminal, such as Ctrl-C, must not end a browser with all its tabs.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let Ok(mut child) = command.spawn() else { return false };
        // The program may run as long as the browser. If no thread can be started, the parent of this program waits for it later.
        let _ = thread::Builder::new().spawn(move || child.wait());
        true
    })
}
