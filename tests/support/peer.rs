//! Runs scripts of `tests/peers` with Node or Python.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::disallowed_methods, reason = "peers live in real time")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use keyfob::{ClientAuth, ureq};
use serde_json::{Value, json};

/// A running script. Dropping it closes its standard input, which ends it.
pub struct Peer {
    child: Child,
    /// The line of JSON that the script prints when it is ready.
    pub settings: Value,
    stdout: BufReader<ChildStdout>,
    stderr: Arc<Mutex<String>>,
}

impl Peer {
    pub fn start(script: &str) -> Self {
        Self::start_with(script, &[], &[])
    }

    pub fn start_with(script: &str, arguments: &[&str], env: &[(&str, &str)]) -> Self {
        let mut peer = Self::spawn(script, arguments, env);
        peer.settings = peer.read_line();
        peer
    }

    fn spawn(script: &str, arguments: &[&str], env: &[(&str, &str)]) -> Self {
        // Where `.ci/run` installs what the script needs.
        let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/bin/python");
        let is_python = Path::new(script).extension().is_some_and(|extension| extension == "py");
        let program = if is_python { python } else { "node" };
        let mut child = Command::new(program)
            .arg(script)
            .args(arguments)
            .envs(env.iter().copied())
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}: see tests/peers/README.md"));
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = Arc::new(Mutex::new(String::new()));
        collect(child.stderr.take().unwrap(), stderr.clone());
        Self { child, settings: Value::Null, stdout, stderr }
    }

    fn read_line(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| {
            panic!(
                "it ended: is all that tests/peers/README.md names installed? {}",
                self.stderr.lock().unwrap()
            )
        })
    }

    pub fn text(&self, pointer: &str) -> &str {
        self.settings.pointer(pointer).and_then(Value::as_str).expect(pointer)
    }

    /// Waits until the peer has printed why it refused, on standard error.
    #[track_caller]
    pub fn says(&self, why: &str) {
        for _ in 0..500 {
            if self.stderr.lock().unwrap().contains(why) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it never said {why:?}: {}", self.stderr.lock().unwrap());
    }

    /// Waits until the peer's log names exactly these POST requests to an endpoint, oldest first: for each one the names of its
    /// parameters in their order, and the status of the answer.
    #[track_caller]
    pub fn received(&self, endpoint: &str, requests: &[impl AsRef<str>]) {
        let path = self.text(&format!("/{endpoint}")).splitn(4, '/').last().unwrap();
        self.logged(&format!("request: POST /{path} "), requests);
    }

    /// The same for all requests to the peer, of any method: each begins with the method and the path.
    #[track_caller]
    pub fn received_in_all(&self, requests: &[impl AsRef<str>]) {
        self.logged("request: ", requests);
    }

    #[track_caller]
    fn logged(&self, prefix: &str, requests: &[impl AsRef<str>]) {
        let mut log = Vec::new();
        for _ in 0..500 {
            let stderr = self.stderr.lock().unwrap().clone();
            log = stderr.lines().filter_map(|line| line.strip_prefix(prefix)).map(str::to_owned).collect();
            if log.len() >= requests.len() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let requests: Vec<_> = requests.iter().map(AsRef::as_ref).collect();
        assert_eq!(log, requests, "{prefix}");
    }

    /// The client authentication of this registered name.
    pub fn client(&self, method: &str) -> ClientAuth {
        self.client_with(method, self.setting(method, "client_secret").unwrap_or_default())
    }

    /// What the peer printed about the client of this method: `client_id`, `client_secret` or `private_key`.
    pub fn setting(&self, method: &str, name: &str) -> Option<&str> {
        self.settings.pointer(&format!("/clients/{method}/{name}")).and_then(Value::as_str)
    }

    /// Returns the client authentication with this registered name, but with another secret.
    pub fn client_with(&self, method: &str, secret: &str) -> ClientAuth {
        as_client(method, self.text(&format!("/clients/{method}/client_id")), secret)
    }

    /// The URL of a proxy for the token endpoint. `change` turns each request into one or more, which are sent one after the other.
    /// The client receives the last answer.
    pub fn between(&self, change: impl Fn(&str) -> Vec<String> + Send + 'static) -> String {
        self.proxy("token_endpoint", change, |answer| answer)
    }

    /// The URL of a proxy that also changes the answers of an endpoint. Of the header, the proxy sends `authorization` on.
    pub fn proxy(
        &self,
        endpoint: &str,
        change: impl Fn(&str) -> Vec<String> + Send + 'static,
        change_answer: impl Fn(String) -> String + Send + 'static,
    ) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/proxy", listener.local_addr().unwrap());
        let there = self.text(&format!("/{endpoint}")).to_owned();
        thread::spawn(move || {
            let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
            let agent = ureq::Agent::new_with_config(config);
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut answer = String::new();
                let (authorization, body) = read_authorization_and_body(&mut stream);
                for body in change(&body) {
                    let mut request =
                        agent.post(&there).header("content-type", "application/x-www-form-urlencoded");
                    if let Some(value) = &authorization {
                        request = request.header("authorization", value);
                    }
                    let mut response = request.send(&body).unwrap();
                    let (status, text) = (response.status(), response.body_mut().read_to_string().unwrap());
                    let (text, close) = (change_answer(text), "connection: close\r\ncontent-length");
                    answer = format!("HTTP/1.1 {status}\r\n{close}: {}\r\n\r\n{text}", text.len());
                }
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        url
    }
}

/// The client authentication of this registered name.
pub fn as_client(method: &str, id: &str, secret: &str) -> ClientAuth {
    match method {
        "client_secret_basic" => ClientAuth::secret_basic(id, secret),
        "client_secret_post" => ClientAuth::secret_post(id, secret),
        "client_secret_jwt" => ClientAuth::secret_jwt(id, secret),
        "none" => ClientAuth::none(id),
        _ => panic!("{method}: no such method"),
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn collect(stderr: ChildStderr, into: Arc<Mutex<String>>) {
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            *into.lock().unwrap() += &(line + "\n");
        }
    });
}

/// Headless Chromium, which takes commands line by line.
pub struct Browser(Peer);

/// What a person sees in a tab.
#[derive(Debug)]
pub struct Seen {
    pub title: String,
    pub url: String,
    pub text: String,
}

impl Browser {
    pub fn start() -> Self {
        Self(Peer::spawn("browser.mjs", &[], &[]))
    }

    /// Returns the answer, or the reason why there is none.
    pub fn attempt(&mut self, command: &Value) -> Result<Value, String> {
        writeln!(self.0.child.stdin.as_mut().unwrap(), "{command}").unwrap();
        let answer = self.0.read_line();
        if answer["ok"] == true { Ok(answer) } else { Err(answer["error"].to_string()) }
    }

    #[track_caller]
    fn run(&mut self, command: &Value) -> Value {
        self.attempt(command).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    #[track_caller]
    pub fn open(&mut self, url: &str) {
        self.run(&json!({ "open": url }));
    }

    /// Types into the focused field, once the focus is on the field with this label.
    #[track_caller]
    pub fn keys(&mut self, focus: &str, text: &str) {
        self.run(&json!({ "wait": { "focus": focus } }));
        self.run(&json!({ "type": { "text": text } }));
    }

    /// Presses Enter once the focus is on this button.
    #[track_caller]
    pub fn enter(&mut self, focus: &str) {
        self.run(&json!({ "wait": { "focus": focus } }));
        self.press(&["Enter"]);
    }

    /// Types into the field with this label or placeholder.
    #[track_caller]
    pub fn fill(&mut self, label: &str, text: &str) {
        self.run(&json!({ "type": { "label": label, "text": text } }));
    }

    #[track_caller]
    pub fn press(&mut self, keys: &[&str]) {
        for key in keys {
            self.run(&json!({ "press": key }));
        }
    }

    #[track_caller]
    pub fn click(&mut self, role: &str, name: &str) {
        self.run(&json!({ "click": { "role": role, "name": name } }));
    }

    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> Seen {
        let waited = self.attempt(&json!({ "wait": { "text": text } }));
        let seen = self.see();
        waited.unwrap_or_else(|_| panic!("{text:?} never showed: {seen:?}"));
        seen
    }

    #[track_caller]
    pub fn see(&mut self) -> Seen {
        let answer = self.run(&json!({ "text": true }));
        let [title, url, text] =
            ["title", "url", "text"].map(|name| answer[name].as_str().unwrap().to_owned());
        Seen { title, url, text }
    }

    #[track_caller]
    pub fn new_tab(&mut self) {
        self.run(&json!({ "tab": true }));
    }

    #[track_caller]
    pub fn tab(&mut self, number: u32) {
        self.run(&json!({ "tab": number }));
    }

    /// Checks the page in light and dark, wide and narrow. Takes screenshots if `KEYFOB_SCREENSHOTS` names a
    /// folder.
    #[track_caller]
    pub fn look(&mut self, name: &str) {
        let path = std::env::var_os("KEYFOB_SCREENSHOTS").map(|folder| Path::new(&folder).join(name));
        self.run(&json!({ "look": { "path": path } }));
    }
}

/// Returns the body of the next request.
pub fn read_request(stream: &mut TcpStream) -> String {
    read_authorization_and_body(stream).1
}

fn read_authorization_and_body(stream: &mut TcpStream) -> (Option<String>, String) {
    let mut reader = BufReader::new(stream);
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let (name, value) = line.trim().split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap(),
            "authorization" => authorization = Some(value.trim().to_owned()),
            _ => {}
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (authorization, String::from_utf8(body).unwrap())
}
