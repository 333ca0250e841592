//! `git http-backend` behind a server that requires a token.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

/// A server of git repositories below `root`, which requires a token.
pub struct GitServer {
    pub url: String,
    /// Each `Authorization` header that was sent.
    pub seen: Arc<Mutex<Vec<String>>>,
    /// The headers that are refused.
    pub refused: Arc<Mutex<Vec<String>>>,
}

impl GitServer {
    pub fn start(root: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, seen: Arc::default(), refused: Arc::default() };
        let (seen, refused) = (server.seen.clone(), server.refused.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (root, seen, refused) = (root.clone(), seen.clone(), refused.clone());
                thread::spawn(move || answer(client?, &root, &seen, &refused));
            }
        });
        server
    }
}

/// Answers one request with `git http-backend`, which is a CGI program (RFC 3875).
fn answer(
    mut client: TcpStream,
    root: &Path,
    seen: &Mutex<Vec<String>>,
    refused: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut backend = Command::new("git");
    backend.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    backend.envs([("REQUEST_METHOD", method), ("PATH_INFO", path), ("QUERY_STRING", query)]);
    let (mut length, mut authorization) = (0, None);
    for header in reader.by_ref().lines() {
        let header = header?;
        let Some((name, value)) = header.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = Some(value.to_owned()),
            "content-length" => length = value.parse().unwrap(),
            "content-type" => drop(backend.env("CONTENT_TYPE", value)),
            "content-encoding" => drop(backend.env("HTTP_CONTENT_ENCODING", value)),
            "git-protocol" => drop(backend.env("GIT_PROTOCOL", value)),
            _ => {}
        }
    }
    seen.lock().unwrap().extend(authorization.clone());
    if authorization.is_none_or(|sent| refused.lock().unwrap().contains(&sent)) {
        let head = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nWWW-Authenticate: Basic realm=\"git\"\r\n";
        return client.write_all(format!("{head}Connection: close\r\nContent-Length: 0\r\n\r\n").as_bytes());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    backend.env("CONTENT_LENGTH", length.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = backend.spawn()?;
    child.stdin.take().unwrap().write_all(&body)?;
    let output = child.wait_with_output()?;
    let at = output.stdout.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")?;
    client.write_all(&output.stdout[..at + 4])?;
    client.write_all(&output.stdout[at + 4..])
}
