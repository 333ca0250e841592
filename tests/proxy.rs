//! Proxies: through which requests go when asked to, and not otherwise. A real tunnel (RFC 9110 9.3.6), TLS inside.

#![allow(clippy::disallowed_methods, reason = "the tunnel runs on the machine's clock")]

#[path = "support/folder.rs"]
mod folder;

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use keyfob_sandbox::{Endpoint, Sandbox};

use folder::Folder;

/// Connects whoever asks with `CONNECT`, and keeps what each asked for.
struct Tunnel {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tunnel {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, stopped) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (all, stop) = (asked.clone(), stopped.clone());
        let thread = thread::spawn(move || {
            for client in listener.incoming() {
                if stop.load(SeqCst) {
                    return;
                }
                let (client, all) = (client.unwrap(), all.clone());
                // A client that goes away ends its own thread only.
                thread::spawn(move || connect(&client, &all));
            }
        });
        Self { address, asked, stopped, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.stopped.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn connect(client: &TcpStream, asked: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut field = String::new();
    while reader.read_line(&mut field)? > 2 {
        field.clear();
    }
    asked.lock().unwrap().push(first.trim_end().to_owned());
    let target = first.split(' ').nth(1).unwrap_or_default();
    let server = TcpStream::connect(target)?;
    let mut back = client.try_clone()?;
    back.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let mut from_server = server.try_clone()?;
    let pump = thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut back);
        let _ = back.shutdown(Shutdown::Write);
    });
    let mut to_server = &server;
    let _ = io::copy(&mut reader, &mut to_server);
    let _ = server.shutdown(Shutdown::Write);
    let _ = pump.join();
    Ok(())
}

#[test]
fn a_proxy_is_used_only_when_asked_for() {
    let (sandbox, tunnel) = (Sandbox::start_tls(), Tunnel::start());
    // One for the token exchange, which keeps no connection, and one for the call.
    let through =
        [sandbox.auth_url(), sandbox.api_url()].map(|url| url.replace("https://", "CONNECT ") + " HTTP/1.1");
    let url = tunnel.url();
    let cases: [(&[(&str, &str)], bool); 8] = [
        (&[("ALL_PROXY", &url)], false),
        (&[("HTTPS_PROXY", &url), ("https_proxy", &url), ("HTTP_PROXY", &url), ("http_proxy", &url)], false),
        (&[("KEYFOB_PROXY", ""), ("ALL_PROXY", &url)], false),
        (&[("KEYFOB_PROXY", &url)], true),
        (&[("KEYFOB_PROXY", "env"), ("ALL_PROXY", &url)], true),
        (&[("KEYFOB_PROXY", "env"), ("HTTPS_PROXY", &url)], true),
        (&[("KEYFOB_PROXY", "env"), ("HTTPS_PROXY", &url), ("NO_PROXY", "127.0.0.1")], false),
        (&[("KEYFOB_PROXY", "env")], false),
    ];
    for (variables, used) in cases {
        let store = Folder::new();
        let output = cron(&sandbox, &store).envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{variables:?}: {}", String::from_utf8_lossy(&output.stderr));
        let asked = tunnel.asked();
        assert_eq!(asked, if used { through.to_vec() } else { Vec::new() }, "{variables:?}");
    }
    assert_eq!(sandbox.count(Endpoint::Token), 8);
}

/// The built example; `cargo test` builds them all, `cargo test --test proxy` only if asked.
fn cron(sandbox: &Sandbox, store: &Folder) -> Command {
    let deps = std::env::current_exe().unwrap();
    let path = deps.ancestors().nth(2).unwrap().join("examples/spatiafi_cron");
    if !path.exists() {
        let built =
            Command::new(env!("CARGO")).args(["build", "--quiet", "--example", "spatiafi_cron"]).status();
        assert!(built.unwrap().success());
    }
    let mut command = Command::new(path);
    command.env_clear().env("KEYFOB_STORE", store.join("keyfob")).envs(sandbox.env());
    command
}
