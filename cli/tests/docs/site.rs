//! The machine of a reader: a home folder, and an OAuth 2.0 server that the pages know by other addresses.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use keyfob_sandbox::{AcmeSandbox, ServerCertificate, TlsFront};
use tempfile::TempDir;

use crate::cluster;
use crate::mail::{MailServer, Protocol};
use crate::page::{Block, Page, fits};
use crate::proxy;
use crate::support::git::GitServer;

/// Runs each job of a crontab once: with the variables that are set in it, and with HOME, SHELL and a short PATH.
const CRONTAB: &str = r#"
set -f
export PATH=/usr/bin:/bin
while read -r minute rest; do
    case "$minute" in
        '#'* | '') ;;
        *=*) export "$minute" ;;
        *) env -i HOME="$HOME" SHELL=/bin/sh PATH="$PATH" /bin/sh -c "$(echo "$rest" | sed 's/^\(\S* *\)\{4\}//')" ;;
    esac
done <"$1""#;

/// Starts a service of `etc/systemd/system`: with its `Environment=`, `StateDirectory=` and `LoadCredential=`, and nothing else.
const SYSTEMCTL: &str = r#"
[ "$1" = start ] || exit 0
unit=$HOME/etc/systemd/system/$2 state=$HOME/state credentials=$HOME/credentials
value() { sed -n "s/^$1=//p" "$unit" | sed "s|%S|$state|"; }
mkdir -p -m 700 "$state/$(value StateDirectory)" "$credentials"
value LoadCredential | while IFS=: read -r name path; do cp "$path" "$credentials/$name"; done
exec env -i CREDENTIALS_DIRECTORY="$credentials" $(value Environment) $(value ExecStart) >"$HOME/log""#;

/// Runs a command on a read-only file system, with nothing in its environment. Each word of VOLUMES is SOURCE:TARGET, mounted read-only;
/// /mnt is empty and can be written.
const CONTAINER: &str = r#"
export PATH VOLUMES
exec unshare -m sh -c '
set -e
mount --make-rprivate /
for volume in $VOLUMES; do
    source=${volume%%:*} target=${volume#*:} && target=${target%:ro}
    # New folders need a place that is not that of the machine.
    top=/$(echo "$target" | cut -d / -f 2)
    [ -d "$top/of-the-container" ] || { mount -t tmpfs none "$top"; mkdir "$top/of-the-container"; }
    mkdir -p "$target"
    mount --bind "$source" "$target"
    mount -o remount,ro,bind "$target"
done
mount -t tmpfs -o mode=1777 none /mnt
mount -o remount,ro,bind /
exec env -i PATH="$PATH" "$@"' container "$@""#;

const DOCKER: &str = r#"
VOLUMES= variables=
shift
while [ "$1" != my-image ]; do
    case "$1" in
        -v) VOLUMES="$VOLUMES $2" && shift ;;
        -e) variables="$variables $2" && shift ;;
        --tmpfs | --user) shift ;;
    esac
    shift
done
shift
export VOLUMES
exec container $variables "$@""#;

/// Runs the pod of a file, and leaves all but that to kubectl.
const KUBECTL: &str = r#"
value() { sed -n "s/$1/\1/p" "$file"; }
case "$1" in
    apply)
        file=$3
        mkdir "$HOME/map"
        sed -n '/^  config.toml: |/,/^---/s/^    //p' "$file" >"$HOME/map/config.toml"
        map=$(value '.*{name: keyfob, mountPath: \([^,]*\), .*') tokens=$(value '.*{name: tokens, mountPath: \([^,]*\), .*')
        export VOLUMES="$HOME/map:$map $HOME/tokens:$tokens"
        variables=$(value '.*{name: \(KEYFOB_.*\)}' | sed 's/, value: /=/')
        container $variables $(value '    command: \[\(.*\)\]' | tr -d ,) >"$HOME/log" 2>&1
        printf 'configmap/keyfob created\npod/report created\n'
        ;;
    logs) cat "$HOME/log" ;;
    *) PATH=${PATH#*:} exec kubectl "$@" ;;
esac"#;

pub struct Site {
    pub acme: AcmeSandbox,
    pub home: TempDir,
    /// Addresses and names, and how the pages show them.
    values: Vec<(String, String)>,
    /// Servers that run as long as the machine.
    servers: Vec<MailServer>,
    cluster: Option<TlsFront>,
}

impl Site {
    /// A machine on which nothing has been set up.
    pub fn empty() -> Self {
        Self::with(AcmeSandbox::start(), |url| url)
    }

    /// `address` says at which address of this machine the pages find a server.
    fn with(acme: AcmeSandbox, address: fn(String) -> String) -> Self {
        acme.set_poll_interval(Duration::from_secs(1));
        let home = tempfile::tempdir().unwrap();
        let values = [
            (address(acme.issuer()), "https://login.example.com/acme"),
            (address(acme.api_url()), "https://api.example.com"),
            (acme.client_id().to_owned(), "my-client"),
            (home.path().display().to_string(), "/home/me"),
        ];
        let values = values.map(|(real, shown)| (real, shown.to_owned())).to_vec();
        let site = Self { acme, home, values, servers: Vec::new(), cluster: None };
        // Another machine: another home folder.
        site.program("ssh", "shift\nHOME=$HOME/machine exec sh -c \"$*\"");
        let other = site.path("machine/.config");
        fs::create_dir_all(&other).unwrap();
        std::os::unix::fs::symlink("../../.config/keyfob", other.join("keyfob")).unwrap();
        site
    }

    /// A machine with the service that the page about configuration describes first.
    pub fn start() -> Self {
        let site = Self::empty();
        site.configure(true);
        site
    }

    /// Does what the page about configuration says first, up to the last command or with it.
    fn configure(&self, with_request: bool) {
        let configuration = Page::read("configuration.md");
        let block = configuration.blocks.into_iter().find(|block| block.language == "sh").unwrap();
        let lines: Vec<_> = block.text.split_inclusive('\n').collect();
        let text = lines[..lines.len() - usize::from(!with_request)].concat();
        self.script(&Block { text, ..block });
    }

    /// The same, with a server of git repositories and one of mail.
    pub fn with_git_and_mail() -> Self {
        let mut site = Self::start();
        let git = GitServer::start(site.path("served"));
        site.known_as(&git.url, "https://git.example.com");
        let made = site.shell(
            "set -e
            export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=me
            export GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1=me@example.com
            git init -q source; git -C source commit -q --allow-empty -m first
            git clone -q --bare source served/repository.git; rm -r source",
        );
        assert_eq!(made, (true, String::new()));
        let mut authorities = String::new();
        for (protocol, host, port) in [(Protocol::Smtp, "smtp", "465"), (Protocol::Imap, "imap", "993")] {
            let server = MailServer::start(protocol, &site.acme.api_url());
            authorities += &fs::read_to_string(server.front.ca_file()).unwrap();
            site.known_as(&format!("localhost:{}", server.port()), &format!("{host}.example.com:{port}"));
            site.known_as("localhost", &format!("{host}.example.com"));
            site.known_as(&format!("ort {}", server.port()), &format!("ort {port}"));
            site.servers.push(server);
        }
        let bundle = site.path("authorities.pem");
        fs::write(&bundle, authorities).unwrap();
        site.known_as(bundle.to_str().unwrap(), "/etc/ssl/certs/ca-certificates.crt");
        site
    }

    /// The same, with stand-ins for cron and systemd that run a job at once, in the environment that the real ones give it.
    pub fn with_schedulers() -> Self {
        let mut site = Self::start();
        site.program("crontab", CRONTAB);
        site.program("systemctl", SYSTEMCTL);
        site.program("journalctl", "cat $HOME/log");
        let etc = site.path("etc");
        site.known_as(etc.to_str().unwrap(), "/etc");
        let programs = Path::new(env!("CARGO_BIN_EXE_keyfob")).parent().unwrap();
        site.known_as(programs.to_str().unwrap(), "/usr/local/bin");
        site
    }

    /// The same, with stand-ins for Docker and for the nodes of Kubernetes: a container has its own mounts, and else the files of this machine.
    pub fn with_containers() -> Self {
        let mut site = Self::start();
        site.known_as("/mnt", "/state");
        let cluster = cluster::start(&site.acme.api_url());
        site.known_as(&cluster.origin(), "https://kubernetes.example.com:6443");
        site.known_as(&cluster.ca_file().display().to_string(), "/etc/kubernetes/ca.crt");
        site.cluster = Some(cluster);
        site.program("container", CONTAINER);
        site.program("docker", DOCKER);
        site.program("kubectl", KUBECTL);
        // The assertion stays valid however long the other commands take.
        site.acme.clock().stop();
        fs::create_dir(site.path("tokens")).unwrap();
        fs::write(site.path("tokens/acme"), site.acme.assertion()).unwrap();
        site
    }

    /// The same, where the servers have certificates of an authority of the company, and ask for one of the client, and there is a proxy.
    pub fn in_a_company() -> Self {
        // Loopback never has a proxy. For keyfob, this other address of the same machine is somewhere else.
        let mut site = Self::with(AcmeSandbox::start_tls(), |url| url.replace("127.0.0.1", "0.0.0.0"));
        site.configure(false);
        site.known_as(&proxy::start(), "proxy.example.com:3128");
        let folder = site.path("company");
        fs::create_dir(&folder).unwrap();
        site.known_as(folder.to_str().unwrap(), "/etc/company");
        let (certificate, key) = site.acme.client_certificate().unwrap();
        for (name, text) in
            [("ca.pem", site.acme.ca_pem().unwrap()), ("me.pem", certificate), ("me.key", key)]
        {
            fs::write(folder.join(name), text).unwrap();
        }
        site
    }

    fn known_as(&mut self, real: &str, shown: &str) {
        self.values.push((real.to_owned(), shown.to_owned()));
    }

    /// Does what a page says, in order.
    #[track_caller]
    pub fn run(&self, page: &Page) {
        assert!(!page.commands().is_empty());
        for block in &page.blocks {
            match &*block.language {
                "sh" => drop(self.script(block)),
                "console" => self.console(block),
                _ => self.file(block),
            }
        }
    }

    /// Runs each command of a script. Returns what they printed.
    #[track_caller]
    pub fn script(&self, block: &Block) -> String {
        let (success, printed) = self.shell(&format!("set -e\n{}", block.text));
        assert!(success, "{}\n{printed}", block.text);
        printed
    }

    #[track_caller]
    fn console(&self, block: &Block) {
        for (command, shown) in block.shown() {
            let (_, printed) = self.shell(command);
            let is_same = printed.lines().count() == shown.lines().count()
                && printed.lines().zip(shown.lines()).all(|(line, shown)| fits(line, shown));
            assert!(is_same, "$ {command}\n{printed}\nThe page has:\n{shown}");
        }
    }

    fn file(&self, block: &Block) {
        let Some(path) = block.path() else { return };
        // A file of the system is below the home folder too.
        let path = self.path(path.trim_start_matches("~/").trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, self.real(&block.text)).unwrap();
    }

    fn real(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, (real, shown)| text.replace(shown, real))
    }

    /// Runs a script, and does what a person does meanwhile. Returns whether the script succeeded, and all that it printed.
    fn shell(&self, script: &str) -> (bool, String) {
        let program = Path::new(env!("CARGO_BIN_EXE_keyfob")).parent().unwrap();
        let own = self.path("bin");
        let path = format!("{}:{}:{}", own.display(), program.display(), std::env::var("PATH").unwrap());
        // A program that waits for ever fails its test instead of stopping all of them.
        let mut child = Command::new("timeout")
            .args(["600", "sh", "-c", &format!("exec 2>&1\n{}", self.real(script))])
            .env_clear()
            .envs([("HOME", self.home.path().to_str().unwrap()), ("PATH", &path)])
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take();
        if script.contains("# paste the client secret") {
            writeln!(stdin.as_mut().unwrap(), "{}", self.acme.client_secret()).unwrap();
        }
        if script.contains("/etc/company/me.key") {
            // From now on the servers ask for a certificate.
            self.acme.set_certificate(ServerCertificate::Mutual);
        }
        if !script.contains("--no-browser") {
            stdin = None;
        }
        let mut printed = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            self.log_in(&line, &mut stdin);
            printed += &line;
            printed += "\n";
        }
        let success = child.wait().unwrap().success();
        let shown = self.values.iter().fold(printed, |text, (real, shown)| text.replace(real, shown));
        (success, shown)
    }

    /// A person reads a line of a login: enters the code, or opens the address and pastes where the browser ends.
    fn log_in(&self, line: &str, stdin: &mut Option<ChildStdin>) {
        if let Some((_, code)) = line.split_once("enter the code ") {
            self.acme.approve_device(code);
        }
        let Some(at) = line.find(&self.acme.authorize_url()) else { return };
        let callback = self.acme.approve(&line[at..]);
        if let Some(mut stdin) = stdin.take() {
            writeln!(stdin, "{callback}").unwrap();
        } else {
            let (host, path) = callback.strip_prefix("http://").unwrap().split_once('/').unwrap();
            let mut browser = TcpStream::connect(host).unwrap();
            write!(browser, "GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        }
    }

    /// Puts a program of this name in the place of a real one.
    fn program(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }
}
