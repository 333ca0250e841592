//! The command line. It holds no secrets.
#![allow(clippy::doc_markdown, reason = "the comments are the help, where backticks would stand as they are")]

use std::path::PathBuf;
use std::time::Duration;

use clap::error::{Error, ErrorKind};
use clap::{ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum};
use keyfob_config::KnownService;

use crate::catalog::catalog;

const EXIT: &str = "\
Exit status:
  0  done                       5  network, time-out or wrong clock
  1  unexpected                 6  asked to wait (HTTP 429)
  2  bad input, nothing sent    7  a file, the store or the output
  3  log in or set credentials  8  the API answered 4xx or 5xx
  4  the server refused, failed, or sent an answer that cannot be used
Signal N ends the command with status 128 + N. `batch` sends the other lines after one has failed; its status is that of
the first line that failed.

Any OAuth 2.0 server can be a service: describe it in $KEYFOB_CONFIG, else ~/.config/keyfob/config.toml (in $XDG_CONFIG_HOME
if that is set):
  [service.acme]
  issuer = \"https://login.example.com\"
  api_url = \"https://api.example.com\"
  client_id = \"my-client\"
  grant = \"client_credentials\"
  client_secret_file = \"acme-secret\"
Then `keyfob acme get /things` sends a request. For logins of persons, the grant is authorization_code or device_code. `docs/configuration.md`
lists the keys.

Secrets come from the environment, or from the place that the configuration file names. The secret variables are NAME_CLIENT_SECRET
of each service, such as SPATIAFI_CLIENT_SECRET, and SPATIAFI_PASSWORD. For each one, called X here, set one of
  X         the secret itself
  X_FILE    a file that holds it, and nothing else
  X_FD      the number of an open descriptor to read it from
  X_CMD     a command for `sh -c` that prints it in its first line, within 30 s
or let systemd provide it as a file in $CREDENTIALS_DIRECTORY, which has the name X in lower case.
keyfob drops a line end after the secret (LF or CRLF) and a byte order mark before it.
`keyfob <service> status` shows which one is used.

The client id is in NAME_CLIENT_ID, such as SPATIAFI_CLIENT_ID. Requests to Spacebring carry the client id and secret, or, if
SPACEBRING_AUTH is oauth2, the token of a login. They name the network in SPACEBRING_NETWORK_ID.

Examples:
  keyfob spatiafi login
  keyfob spatiafi get '/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0'
  curl -H @<(keyfob spatiafi token --format header) \\
    'https://api.spatiafi.com/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0'
  keyfob spacebring login --scope locations.readonly";

/// OAuth 2.0 access tokens and authenticated requests for SpatiaFi, Spacebring and any other service.
///
/// keyfob requests a token when one is needed, keeps it for the next run and renews it before it expires. Results go to
/// standard output, everything else to standard error.
#[derive(Debug, Parser)]
#[command(name = "keyfob", version, after_help = EXIT, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Format of a token: text, json, header (a line for curl -H @file), env (a line for a shell), curl (a configuration for
    /// curl -K), or exec-credential (for kubectl). Format of status, check and services: text or json [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// How long a stored token must still be valid. A new token is accepted in any case [default: 60; requests to the API renew tokens by
    /// themselves]
    #[arg(long, global = true, value_name = "SECONDS")]
    pub min_valid: Option<u64>,
    /// Keeps several logins of one client apart [env KEYFOB_PROFILE; default: default]
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// Folder for tokens [env KEYFOB_STORE; default: $XDG_STATE_HOME/keyfob or ~/.local/state/keyfob]
    #[arg(long, global = true, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Deadline of each token exchange [default: 30], API call [default: 60] and login in the browser [default: 300]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
    /// Trusted certificate authorities: a PEM file, or builtin, system, or auto (the built-in ones, then those of the system)
    /// [env KEYFOB_CA_FILE; default: auto]
    #[arg(long, global = true, value_name = "PEM")]
    pub ca_file: Option<PathBuf>,
    /// URL of an HTTP proxy, or none. The word env uses the proxy in HTTPS_PROXY or else ALL_PROXY, except for the hosts in NO_PROXY, as
    /// curl does. A user name or password is allowed in a variable only [env KEYFOB_PROXY; default: env]
    #[arg(long, global = true, value_name = "URL|env|none")]
    pub proxy: Option<String>,
    /// Reports each step on standard error, with a line for each request: time, URL without its query, outcome, duration, number and
    /// reason of a repeat, source of the token. Twice: connections and headers too. Never shows a secret
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
    Header,
    Env,
    Curl,
    ExecCredential,
}

#[derive(Debug)]
pub enum Command {
    Service(KnownService<'static>, OfService),
    Other(Other),
}

/// The commands of a service.
#[derive(Debug)]
pub enum OfService {
    /// Makes app credentials.
    Register {
        force: bool,
    },
    Login(PersonLogin),
    Revoke,
    Action(Action),
}

#[derive(Debug, Subcommand)]
pub enum Other {
    /// Lists the services: name, grant, and where each is defined
    #[command(after_help = "\
Examples:
  keyfob services
  keyfob services --format json | jq -r '.[].name'")]
    Services,
    /// Shows the status of all services
    #[command(after_help = "\
The exit status is that of the first service whose status fails, else 0.

Examples:
  keyfob status
  keyfob status --format json | jq -r '.[] | select(.problems != []) | .service'")]
    Status,
    /// Prints a completion script for a shell
    #[command(after_help = "\
Examples:
  keyfob completions bash > ~/.local/share/bash-completion/completions/keyfob
  keyfob completions fish > ~/.config/fish/completions/keyfob.fish")]
    Completions {
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum WithRegistration {
    /// Makes app credentials from a user name and password, and saves them
    ///
    /// The user name and the password come from SPATIAFI_USERNAME and SPATIAFI_PASSWORD (or _FILE, _FD, _CMD). On a terminal, keyfob
    /// asks for those that are not set. The file is that of the official Python client:
    /// ~/.config/spatiafi/app_credentials.json, mode 0600.
    #[command(after_help = "\
Examples:
  keyfob spatiafi login
  SPATIAFI_USERNAME=me@example.com SPATIAFI_PASSWORD_CMD='pass show spatiafi' keyfob spatiafi login --force")]
    Login {
        /// Replaces existing app credentials; a backup is kept
        #[arg(long)]
        force: bool,
    },
    #[command(flatten)]
    Action(Action),
}

#[derive(Debug, Subcommand)]
enum WithLogin {
    /// Logs a person in and stores the tokens
    ///
    /// Opens the browser and waits for the callback at NAME_REDIRECT_URI (default http://127.0.0.1:8765/callback), where NAME is the
    /// service. The browser opens a local address that redirects to the login once. If the grant is device_code, keyfob shows a code
    /// and the address at which a person enters it on any device. With SPACEBRING_AUTH=oauth2, requests to Spacebring carry the token
    /// of the login.
    #[command(after_help = "\
Examples:
  keyfob spacebring login --scope locations.readonly --scope plans.readonly
  keyfob spacebring login --scope locations --no-browser")]
    Login(Later<PersonLogin>),
    /// Revokes the stored tokens at the server and removes them
    #[command(after_help = "\
Examples:
  keyfob spacebring revoke
  keyfob spacebring revoke --profile berlin")]
    Revoke,
    #[command(flatten)]
    Action(Action),
}

#[derive(Args, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct PersonLogin {
    /// A scope to ask for; may be repeated [default: the scope in the configuration; Spacebring: every scope that ends in .readonly]
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// Logs in with a code on another device, if the service supports this
    #[arg(long, conflicts_with = "no_browser")]
    pub device: bool,
    /// Allows scopes that the service has not published
    #[arg(long)]
    pub allow_unknown_scope: bool,
    /// Prints the login URL, and reads from standard input the address that the browser shows after the login; asks again after a wrong
    /// address. If standard input is /dev/null, waits for a browser on this machine instead
    #[arg(long)]
    pub no_browser: bool,
    /// Sends no state, for a server that does not give it back: less safe
    #[arg(long)]
    pub without_state: bool,
    /// Leaves PKCE out, for a server that refuses it: less safe
    #[arg(long)]
    pub without_pkce: bool,
    /// Leaves redirect_uri out of the token request, for a server that refuses it there
    #[arg(long)]
    pub without_redirect_uri: bool,
}

// The actions of all services. A doc comment here would become the help of each.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Prints a valid access token: the stored one if it is valid long enough, else a new one
    ///
    /// --format header and curl print the Authorization header of requests to the API, which can be one of HTTP Basic.
    /// For Spacebring, SPACEBRING_AUTH decides: basic (the default) or oauth2. --format env sets NAME_ACCESS_TOKEN, where NAME
    /// is the service. --format exec-credential prints the version that KUBERNETES_EXEC_INFO names: v1 (the default) or v1beta1.
    #[command(after_help = "\
Examples:
  keyfob spatiafi token
  keyfob spatiafi token --format json --min-valid 300
  eval \"$(keyfob spatiafi token --format env)\"
  keyfob spatiafi token --format curl |
    curl -K - 'https://api.spatiafi.com/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0'
  curl -H @<(keyfob spatiafi token --format header) \\
    'https://api.spatiafi.com/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0'")]
    Token,
    /// Sends an authenticated GET; prints the body of the answer
    #[command(after_help = "\
The body goes to standard output whatever the status. 4xx and 5xx end with exit status 8, or with 6 if the server
asks to wait (HTTP 429, or a Retry-After).

Examples:
  keyfob spatiafi get '/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0'
  keyfob spacebring get /locations/v1 | jq .locations")]
    Get(Later<Request>),
    /// Sends an authenticated POST; prints the body of the answer
    #[command(after_help = "\
Examples:
  keyfob spacebring post /visitors/contacts/v1 --json @contact.json
  echo '{\"contact\":{\"visitor\":{\"name\":\"Me\",\"email\":\"me@example.com\"},\"locationRef\":\"ID\"}}' |
    keyfob spacebring post /visitors/contacts/v1 --json @-")]
    Post(Later<RequestWithBody>),
    /// Sends an authenticated PUT; prints the body of the answer
    #[command(after_help = "\
Examples:
  keyfob spacebring put /visitors/visits/v1/ID --json @visit.json
  keyfob spacebring put /support/tickets/v1/ID/status --json '{\"ticket\":{\"status\":\"solved\"}}'")]
    Put(Later<RequestWithBody>),
    /// Sends an authenticated PATCH; prints the body of the answer
    #[command(after_help = "\
Examples:
  keyfob spacebring patch /resources/v1/ID --json '{\"resource\":{\"title\":\"Desk\"}}'
  keyfob spacebring patch /plans/v1/ID --data @plan.json --header 'Content-Type: application/json'")]
    Patch(Later<RequestWithBody>),
    /// Sends an authenticated DELETE; prints the body of the answer
    #[command(after_help = "\
Examples:
  keyfob spacebring delete /plans/v1/ID
  keyfob spacebring delete /visitors/visits/v1/ID")]
    Delete(Later<RequestWithBody>),
    /// Sends an authenticated GET for each line of a file; prints the answers as JSON lines, in the order of the lines
    #[command(after_help = "\
Each line of FILE is a path or URL; empty lines are skipped. Each answer is one line:
  {\"line\":1,\"status\":200,\"body\":{\"a\":1}}           a body that is JSON
  {\"line\":2,\"status\":200,\"body\":\"text\"}            one that is text
  {\"line\":3,\"status\":200,\"body_base64\":\"iVBORw==\"} one that is neither
  {\"line\":4,\"status\":404,\"kind\":\"api_status\",\"error\":\"the API answered HTTP 404\",\"body\":…}
  {\"line\":5,\"kind\":\"timeout\",\"error\":\"…\"}         no answer
A body may have up to 16 MiB; a longer one is an error of its line. If --memory has no space for an answer, keyfob sends the
request again when there is space.
The exit status is that of the first line that failed, else 0. The other lines are sent too, even after a line
that is no path of the API (status 2). An error that needs a login or credentials ends the run.
Ctrl-C ends the run within a second and leaves whole lines, after which --resume continues. Lines that failed count as done
and are not sent again; the exit status is that of the first failed line in the whole output. To repeat failed lines, take
them from FILE:
  jq -r 'select(.kind) | .line' answers.jsonl | sed 's/$/p/' | sed -n -f - points.txt >again.txt

Examples:
  keyfob spatiafi batch points.txt --jobs 16 --output answers.jsonl
  keyfob spatiafi batch points.txt --jobs 16 --output answers.jsonl --resume
  keyfob spacebring get '/resources/v1?locationRef=ID' | jq -r '.resources[] | \"/resources/v1/\" + .id' |
    keyfob spacebring batch - | jq -c .body")]
    Batch(Later<Batch>),
    /// Runs a command with the token in its environment
    ///
    /// The token is in NAME_ACCESS_TOKEN, where NAME is the service. Long-lived secrets, the tokens of other services and a
    /// KEYFOB_PROXY with a user name or password are removed from the environment. No descriptor that leads to a long-lived secret stays
    /// open. The exit status is that of the command; 127 if no command has this name, 126 if it cannot be run.
    #[command(
        override_usage = "keyfob <SERVICE> exec [OPTIONS] -- <CMD>...",
        after_help = "\
Examples:
  keyfob spatiafi exec -- python3 report.py
  keyfob spacebring exec --min-valid 600 -- sh -c \\
    'echo \"Authorization: Bearer $SPACEBRING_ACCESS_TOKEN\" | curl -H @- https://api.spacebring.com/locations/v1'"
    )]
    Exec {
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "CMD")]
        command: Vec<std::ffi::OsString>,
    },
    /// Removes the stored tokens and the unusable answers beside them; app credentials stay
    #[command(after_help = "\
Examples:
  keyfob spatiafi logout
  keyfob spatiafi logout --credentials")]
    Logout {
        /// Also removes the saved app credentials, and answers of a login that could not be used
        #[arg(long)]
        credentials: bool,
    },
    /// Checks everything that requests need, prints a line for each, and says what to do; shows no secret
    ///
    /// The lines are: configuration, secrets, file modes, store, proxy, DNS, TCP, TLS, server clock, metadata, token. Each is ok, failed or
    /// skipped. keyfob sends GET / without credentials to the API and to the authorization server, and obtains a token if none is stored.
    #[command(after_help = "\
The exit status is that of the first line that failed, else 0.

Examples:
  keyfob spatiafi check
  keyfob spatiafi check --offline --format json | jq '.[] | select(.status == \"failed\")'")]
    Check {
        /// Sends nothing
        #[arg(long)]
        offline: bool,
    },
    /// Gives git a token for servers of this service, as a credential helper
    ///
    /// git runs it. It answers only for the protocol, host and port of an API URL of the service. If a server refuses the token, git
    /// reports that with erase, and the next run renews the token.
    #[command(after_help = "\
Examples:
  git config --global credential.https://git.example.com.helper '!keyfob acme git-credential'
  printf 'protocol=https\\nhost=git.example.com\\n' | keyfob acme git-credential get")]
    GitCredential {
        /// get, store or erase; other operations are ignored
        #[arg(value_name = "OPERATION")]
        operation: String,
    },
    /// Asks the server about the stored token; prints the answer as JSON, without the token
    ///
    /// RFC 7662 defines the members. The service needs an introspection URL, or an issuer that publishes one. keyfob renews nothing.
    #[command(after_help = "\
Examples:
  keyfob acme introspect
  keyfob acme introspect | jq -e .active")]
    Introspect,
    /// Shows the expiry of the stored token, file modes, and the source of each secret; shows no secret
    #[command(after_help = "\
Examples:
  keyfob spatiafi status
  keyfob spacebring status --format json | jq .token.expires_in")]
    Status,
}

#[derive(Args, Debug)]
pub struct Request {
    /// A path that begins with '/', or a URL of the API; other origins are refused
    #[arg(value_name = "PATH_OR_URL")]
    pub target: String,
    /// A header field, 'Name: value'; may be repeated
    #[arg(long = "header", short = 'H', value_name = "FIELD")]
    pub headers: Vec<String>,
}

#[derive(Args, Debug)]
pub struct RequestWithBody {
    #[command(flatten)]
    pub request: Request,
    /// The body, sent as a form unless --header sets another Content-Type; @FILE reads a file, @- standard input
    #[arg(long, value_name = "TEXT|@FILE", conflicts_with = "json")]
    pub data: Option<String>,
    /// A JSON body of up to 64 MiB, checked before it is sent; @FILE reads a file, @- standard input
    #[arg(long, value_name = "JSON|@FILE")]
    pub json: Option<String>,
}

#[derive(Args, Debug)]
pub struct Batch {
    /// A file with a path or URL on each line; - for standard input
    #[arg(value_name = "FILE")]
    pub input: PathBuf,
    /// Number of requests at the same time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Memory for answers that are being read or wait for earlier ones, in MiB; 32 to 65536
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(32..=65536))]
    pub memory: u32,
    /// Writes the answers to this file
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Continues after the last whole line of the output
    #[arg(long, requires = "output")]
    pub resume: bool,
}

/// A part of the command line that is built only when it is used. Building all parts took a third of the time of `token`.
#[derive(Debug)]
pub struct Later<T>(pub T);

impl<T: FromArgMatches> FromArgMatches for Later<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T: Args> Args for Later<T> {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.defer(T::augment_args)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        T::augment_args_for_update(command)
    }
}

impl<T: Subcommand> Subcommand for Later<T> {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        command.defer(T::augment_subcommands)
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        T::augment_subcommands_for_update(command)
    }

    fn has_subcommand(name: &str) -> bool {
        T::has_subcommand(name)
    }
}

/// The command line of a service, by what it offers besides the [`Action`]s.
#[derive(Clone, Copy)]
enum Kind {
    Registration,
    Login,
}

impl Kind {
    fn of(name: &str) -> Self {
        if name == "spatiafi" { Self::Registration } else { Self::Login }
    }
}

fn named(name: &str) -> Option<KnownService<'static>> {
    catalog().service(name)
}

/// Returns the command of a service that is neither built in nor configured.
pub fn unknown_service(name: &'static str) -> clap::Command {
    clap::Command::new(name).defer(describe)
}

/// Adds the commands of the service whose name `command` has.
fn describe(command: clap::Command) -> clap::Command {
    let all = match Kind::of(command.get_name()) {
        Kind::Registration => WithRegistration::augment_subcommands(clap::Command::default()),
        Kind::Login => WithLogin::augment_subcommands(clap::Command::default()),
    };
    let described = command.subcommands(named_ones(all.get_subcommands(), |one| one.get_name()).cloned());
    described.subcommand_required(true).arg_required_else_help(true)
}

/// Returns those that the command line names, or all if it names none. Clap prepares each subcommand, which takes longer than the rest of
/// `token`.
fn named_ones<T>(all: impl Iterator<Item = T>, name: impl Fn(&T) -> &str) -> impl Iterator<Item = T> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let is_word = |name: &str| words.iter().any(|word| word == name);
    let mut all: Vec<_> = all.collect();
    // `status` is a command of its own too, and leaves open which service is meant before it.
    let is_chosen = |name: &str| name != "status" && is_word(name);
    if !is_word("help") && !is_word("completions") && all.iter().any(|one| is_chosen(name(one))) {
        all.retain(|one| is_word(name(one)));
    }
    all.into_iter()
}

impl Subcommand for Command {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        let services = catalog()
            .services()
            .into_iter()
            .map(|service| clap::Command::new(service.name()).about(service.about()).defer(describe));
        let others = Other::augment_subcommands(clap::Command::default());
        let all = services.chain(others.get_subcommands().cloned());
        command.subcommands(named_ones(all, |one| one.get_name()))
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        named(name).is_some() || Other::has_subcommand(name)
    }
}

impl FromArgMatches for Command {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        let Some(service) = matches.subcommand_name().and_then(named) else {
            return Other::from_arg_matches_mut(matches).map(Self::Other);
        };
        let (_, mut matches) =
            matches.remove_subcommand().ok_or_else(|| Error::new(ErrorKind::MissingSubcommand))?;
        let command = match Kind::of(service.name()) {
            Kind::Registration => match WithRegistration::from_arg_matches_mut(&mut matches)? {
                WithRegistration::Login { force } => OfService::Register { force },
                WithRegistration::Action(action) => OfService::Action(action),
            },
            Kind::Login => match WithLogin::from_arg_matches_mut(&mut matches)? {
                WithLogin::Login(Later(login)) => OfService::Login(login),
                WithLogin::Revoke => OfService::Revoke,
                WithLogin::Action(action) => OfService::Action(action),
            },
        };
        Ok(Self::Service(service, command))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "it must be more than 0 and not too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::EXIT;

    #[test]
    fn help_names_every_secret_variable() {
        for service in keyfob_config::Catalog::EMPTY.services() {
            let prefix = service.name().to_ascii_uppercase();
            for name in service.secrets() {
                // `NAME_CLIENT_SECRET` stands for that of each service.
                let of_each = name.variable().replacen(&prefix, "NAME", 1);
                assert!(EXIT.contains(name.variable()) || EXIT.contains(&of_each), "{name:?}");
            }
        }
    }
}
