//! Scripts of `tests/peers`, run by Node.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::disallowed_methods, reason = "peers live in real time")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// A script that has started. It ends when dropped, which closes its standard input.
pub struct Peer {
    child: Child,
    /// The one line of JSON that it prints when it is ready.
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
        let mut child = Command::new("node")
            .arg(script)
            .args(arguments)
            .envs(env.iter().copied())
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Node is installed");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = Arc::new(Mutex::new(String::new()));
        collect(child.stderr.take().unwrap(), stderr.clone());
        Self { child, settings: Value::Null, stdout, stderr }
    }

    fn read_line(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| {
            panic!("it ended: has `npm ci` been run in tests/peers? {}", self.stderr.lock().unwrap())
        })
    }

    pub fn text(&self, pointer: &str) -> &str {
        self.settings.pointer(pointer).and_then(Value::as_str).expect(pointer)
    }

    /// Waits until the peer has said why it refused, which it does on standard error only.
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

/// Headless Chromium, told what to do a line at a time.
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

    /// The answer, or why there is none.
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

    /// Types to where the focus is, once it is on the field with this label.
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

    /// Light and dark, wide and narrow; as pictures too if `KEYFOB_SCREENSHOTS` names a folder.
    #[track_caller]
    pub fn look(&mut self, name: &str) {
        let path =
            std::env::var_os("KEYFOB_SCREENSHOTS").map(|folder| std::path::Path::new(&folder).join(name));
        self.run(&json!({ "look": { "path": path } }));
    }
}

/// The body of the request that comes next.
pub fn read_request(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}
