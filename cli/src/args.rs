//! What can be written on the command line. Secrets cannot.
#![allow(clippy::doc_markdown, reason = "the comments are the help, where backticks would stand as they are")]

use std::path::PathBuf;
use std::time::Duration;

use clap::error::Error;
use clap::{ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum};

const EXIT: &str = "\
Exit status:
  0  done                       5  network, time-out or wrong clock
  1  unexpected                 6  rate limit (HTTP 429)
  2  bad input, nothing sent    7  a file, the store or the output
  3  log in or set credentials  8  the API answered 4xx or 5xx
  4  the server said no, failed, or made no sense
A signal N ends with 128 + N. `batch` sends the other lines all the same; its status is that of the first line that failed.

Secrets come from the environment. For each secret variable X, which are
SPATIAFI_CLIENT_SECRET, SPATIAFI_PASSWORD and SPACEBRING_CLIENT_SECRET, set one of
  X         the secret itself
  X_FILE    a file that holds it
  X_FD      the number of an open descriptor to read it from
  X_CMD     a command for `sh -c` that prints it within 30 s
or leave it to systemd: the file x, in lower case, in $CREDENTIALS_DIRECTORY.
A newline at the end is dropped. `keyfob <service> status` shows what is used.

The client id is in SPATIAFI_CLIENT_ID or SPACEBRING_CLIENT_ID. Requests to Spacebring are signed with id and secret, or
with the token of a login if SPACEBRING_AUTH is oauth2, and name the network in SPACEBRING_NETWORK_ID.

Examples:
  keyfob spatiafi login
  keyfob spatiafi get '/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0'
  curl -H @<(keyfob spatiafi token --format header) \\
    'https://api.spatiafi.com/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0'
  keyfob spacebring login --scope locations.readonly";

/// OAuth 2.0 access tokens and signed requests for SpatiaFi and Spacebring.
///
/// Tokens are got when one is needed, kept for the next run, and renewed before they expire. Results go to standard
/// output, all else to standard error.
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
    /// Tokens: as text, as JSON, or as a header line for curl -H @file. Status: text or json [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// A stored token must live at least so long; one that was just got is taken as it is [default: 60; requests renew
    /// in time by themselves]
    #[arg(long, global = true, value_name = "SECONDS")]
    pub min_valid: Option<u64>,
    /// Keeps several logins of one client apart [env KEYFOB_PROFILE; default: default]
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// Where tokens are kept [env KEYFOB_STORE; default: $XDG_STATE_HOME/keyfob or ~/.local/state/keyfob]
    #[arg(long, global = true, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Deadline of each token exchange [default: 30], API call [60] and login in the browser [300]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
    /// Trusts these certificate authorities instead of the built-in ones [env KEYFOB_CA_FILE]
    #[arg(long, global = true, value_name = "PEM")]
    pub ca_file: Option<PathBuf>,
    /// HTTP proxy; env takes the one in ALL_PROXY, HTTPS_PROXY or HTTP_PROXY. A user name or password can be
    /// in a variable only [env KEYFOB_PROXY; default: none]
    #[arg(long, global = true, value_name = "URL|env")]
    pub proxy: Option<String>,
    /// Tells on standard error what is done. Never shows a secret
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
    Header,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// SpatiaFi: geospatial climate data
    #[command(subcommand)]
    Spatiafi(Later<Spatiafi>),
    /// Spacebring: coworking spaces
    #[command(subcommand)]
    Spacebring(Later<Spacebring>),
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
pub enum Spatiafi {
    /// Makes app credentials from a user name and password, and saves them
    ///
    /// Takes them from SPATIAFI_USERNAME and SPATIAFI_PASSWORD (or _FILE, _FD, _CMD), and asks on a terminal for what
    /// is not set. The file is that of the official Python client: ~/.config/spatiafi/app_credentials.json, mode 0600.
    #[command(after_help = "\
Examples:
  keyfob spatiafi login
  SPATIAFI_USERNAME=me@example.com SPATIAFI_PASSWORD_CMD='pass show spatiafi' keyfob spatiafi login --force")]
    Login {
        /// Replaces app credentials that are there already; a backup is kept
        #[arg(long)]
        force: bool,
    },
    #[command(flatten)]
    Action(Action),
}

#[derive(Debug, Subcommand)]
pub enum Spacebring {
    /// Logs a person in with the browser and stores the tokens
    ///
    /// Opens the browser and waits for its callback on SPACEBRING_REDIRECT_URI (default
    /// http://127.0.0.1:8765/callback). With SPACEBRING_AUTH=oauth2 requests are signed with its token.
    #[command(after_help = "\
Examples:
  keyfob spacebring login --scope locations.readonly --scope plans.readonly
  keyfob spacebring login --scope locations --no-browser")]
    Login(Later<SpacebringLogin>),
    /// Ends the login at the server and removes its tokens
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
pub struct SpacebringLogin {
    /// What to ask for, once for each [default: every scope that ends in .readonly]
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// Takes scopes that Spacebring has not published
    #[arg(long)]
    pub allow_unknown_scope: bool,
    /// Prints the URL, and takes the address that the browser ends at from standard input
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

// What both services can do. As a comment of the documentation it would be the help of both.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Prints a valid access token: from the store if it lives long enough, else a new one
    ///
    /// With --format header and Spacebring, SPACEBRING_AUTH decides: basic (the default) prints the Basic header,
    /// oauth2 the Bearer one.
    #[command(after_help = "\
Examples:
  keyfob spatiafi token
  keyfob spatiafi token --format json --min-valid 300
  curl -H @<(keyfob spatiafi token --format header) \\
    'https://api.spatiafi.com/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0'")]
    Token,
    /// Sends a signed GET; prints the body of the answer
    #[command(after_help = "\
The body goes to standard output whatever the status; 4xx and 5xx end with exit status 8, 429 with 6.

Examples:
  keyfob spatiafi get '/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0'
  keyfob spacebring get /locations/v1 | jq .locations")]
    Get(Later<Request>),
    /// Sends a signed POST; prints the body of the answer
    #[command(after_help = "\
Examples:
  keyfob spacebring post /visitors/contacts/v1 --json @contact.json
  echo '{\"contact\":{\"visitor\":{\"name\":\"Me\",\"email\":\"me@example.com\"},\"locationRef\":\"ID\"}}' |
    keyfob spacebring post /visitors/contacts/v1 --json @-")]
    Post(Later<RequestWithBody>),
    /// Sends a signed PUT; prints the body of the answer
    #[command(after_help = "\
Examples:
  keyfob spacebring put /visitors/visits/v1/ID --json @visit.json
  keyfob spacebring put /support/tickets/v1/ID/status --json '{\"ticket\":{\"status\":\"solved\"}}'")]
    Put(Later<RequestWithBody>),
    /// Sends a signed PATCH; prints the body of the answer
    #[command(after_help = "\
Examples:
  keyfob spacebring patch /resources/v1/ID --json '{\"resource\":{\"title\":\"Desk\"}}'
  keyfob spacebring patch /plans/v1/ID --data @plan.json --header 'Content-Type: application/json'")]
    Patch(Later<RequestWithBody>),
    /// Sends a signed DELETE; prints the body of the answer
    #[command(after_help = "\
Examples:
  keyfob spacebring delete /plans/v1/ID
  keyfob spacebring delete /visitors/visits/v1/ID")]
    Delete(Later<RequestWithBody>),
    /// Sends a signed GET for each line of a file; prints the answers as JSON lines, in the order of the lines
    #[command(after_help = "\
Each line of FILE is a path or URL; empty lines are passed by. Each answer is a line of its own:
  {\"line\":1,\"status\":200,\"body\":{\"a\":1}}           a body that is JSON
  {\"line\":2,\"status\":200,\"body\":\"text\"}            one that is text
  {\"line\":3,\"status\":200,\"body_base64\":\"iVBORw==\"} one that is neither
  {\"line\":4,\"status\":404,\"kind\":\"api_status\",\"error\":\"the API answered HTTP 404\",\"body\":…}
  {\"line\":5,\"kind\":\"timeout\",\"error\":\"…\"}         no answer
The exit status is that of the first line that failed, else 0. The other lines are sent, even if it is 2 for a line
that is no path of the API. What needs a login or credentials ends the run.
Ctrl-C leaves whole lines, and --resume goes on after them. Lines that failed count as done and are not asked for
again; the exit status is that of the first one in the whole output. To repeat them, take their lines of FILE:
  jq -r 'select(.kind) | .line' answers.jsonl | sed 's/$/p/' | sed -n -f - points.txt >again.txt

Examples:
  keyfob spatiafi batch points.txt --jobs 16 --output answers.jsonl
  keyfob spatiafi batch points.txt --jobs 16 --output answers.jsonl --resume
  keyfob spacebring get '/resources/v1?locationRef=ID' | jq -r '.resources[] | \"/resources/v1/\" + .id' |
    keyfob spacebring batch - | jq -c .body")]
    Batch(Later<Batch>),
    /// Runs a command with the token in its environment
    ///
    /// The token is SPATIAFI_ACCESS_TOKEN or SPACEBRING_ACCESS_TOKEN. The long-lived secrets, the other service's token
    /// and a KEYFOB_PROXY with a user name or password are removed from the environment. The exit status is the command's
    /// own; 127 if there is none of this name, 126 if it cannot be run.
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
    /// Removes the stored tokens; app credentials stay
    #[command(after_help = "\
Examples:
  keyfob spatiafi logout
  keyfob spatiafi logout --credentials")]
    Logout {
        /// Removes the saved app credentials too
        #[arg(long)]
        credentials: bool,
    },
    /// Shows what is stored, its expiry, file modes, and where each secret would come from
    #[command(after_help = "\
Examples:
  keyfob spatiafi status
  keyfob spacebring status --format json | jq .token.expires_in")]
    Status,
}

#[derive(Args, Debug)]
pub struct Request {
    /// A path that begins with '/', or a URL of the API. Other origins are refused
    #[arg(value_name = "PATH_OR_URL")]
    pub target: String,
    /// A header field, once for each: 'Name: value'
    #[arg(long = "header", short = 'H', value_name = "FIELD")]
    pub headers: Vec<String>,
}

#[derive(Args, Debug)]
pub struct RequestWithBody {
    #[command(flatten)]
    pub request: Request,
    /// The body, as a form unless --header sets its Content-Type; @FILE reads a file, @- standard input
    #[arg(long, value_name = "TEXT|@FILE", conflicts_with = "json")]
    pub data: Option<String>,
    /// A body of JSON, which is checked; @FILE reads a file, @- standard input
    #[arg(long, value_name = "JSON|@FILE")]
    pub json: Option<String>,
}

#[derive(Args, Debug)]
pub struct Batch {
    /// A file with a path or URL on each line; - for standard input
    #[arg(value_name = "FILE")]
    pub input: PathBuf,
    /// How many requests at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Writes the answers to a file
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Goes on after the last whole line of the output
    #[arg(long, requires = "output")]
    pub resume: bool,
}

/// A part of the command line that is described only when it is used: describing all took a third of the time of `token`.
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

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "it must be more than 0 and less than for ever".to_owned())
}
