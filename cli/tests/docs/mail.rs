//! A server of mail over TLS that takes tokens: just enough of SMTP (RFC 5321) and IMAP (RFC 3501) for a client to log in and send.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyfob_sandbox::TlsFront;

use crate::cluster::behind_tls;

pub struct MailServer {
    pub front: TlsFront,
}

#[derive(Clone, Copy)]
pub enum Protocol {
    Smtp,
    Imap,
}

impl MailServer {
    /// Takes each token that the API at this URL takes.
    pub fn start(protocol: Protocol, api_url: &str) -> Self {
        let serve = match protocol {
            Protocol::Smtp => smtp,
            Protocol::Imap => imap,
        };
        Self { front: behind_tls(api_url, serve) }
    }

    pub fn port(&self) -> String {
        self.front.origin().rsplit(':').next().unwrap().to_owned()
    }
}

fn smtp(mut client: &TcpStream, api: &str) -> io::Result<()> {
    client.write_all(b"220 smtp.example.com\r\n")?;
    let mut lines = BufReader::new(client).lines();
    let mut is_known = false;
    while let Some(line) = lines.next() {
        let line = line?;
        let answer = match line.split(' ').next().unwrap_or_default() {
            "EHLO" => "250-smtp.example.com\r\n250 AUTH OAUTHBEARER XOAUTH2".to_owned(),
            "AUTH" => {
                is_known = accepts(line.rsplit(' ').next().unwrap(), api)?;
                if is_known { "235 welcome" } else { "535 the token is not valid" }.to_owned()
            }
            "QUIT" => "221 goodbye".to_owned(),
            _ if !is_known => "530 authentication required".to_owned(),
            "DATA" => {
                client.write_all(b"354 go on\r\n")?;
                let text = lines.by_ref();
                while text.next().transpose()?.is_some_and(|line| line != ".") {}
                "250 accepted".to_owned()
            }
            _ => "250 ok".to_owned(),
        };
        client.write_all(format!("{answer}\r\n").as_bytes())?;
    }
    Ok(())
}

fn imap(mut client: &TcpStream, api: &str) -> io::Result<()> {
    let capabilities = "CAPABILITY IMAP4rev1 SASL-IR NAMESPACE AUTH=XOAUTH2 AUTH=OAUTHBEARER";
    client.write_all(format!("* OK [{capabilities}] imap.example.com\r\n").as_bytes())?;
    for line in BufReader::new(client).lines() {
        let line = line?;
        let mut words = line.split(' ');
        let (tag, command) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (data, end) = match command {
            "CAPABILITY" => (format!("* {capabilities}\r\n"), "OK"),
            "NAMESPACE" => ("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n".to_owned(), "OK"),
            "LIST" => ("* LIST () \"/\" \"INBOX\"\r\n* LIST () \"/\" \"Reports\"\r\n".to_owned(), "OK"),
            "AUTHENTICATE" if !accepts(words.next_back().unwrap(), api)? => (String::new(), "NO"),
            _ => (String::new(), "OK"),
        };
        client.write_all(format!("{data}{tag} {end} {command}\r\n").as_bytes())?;
        if command == "LOGOUT" {
            break;
        }
    }
    Ok(())
}

/// Whether the API accepts the token in an initial response of OAUTHBEARER (RFC 7628) or XOAUTH2.
fn accepts(response: &str, api: &str) -> io::Result<bool> {
    let response = String::from_utf8(STANDARD.decode(response).unwrap()).unwrap();
    let bearer = response.split('\x01').find_map(|field| field.strip_prefix("auth=")).unwrap();
    let mut stream = TcpStream::connect(api)?;
    write!(
        stream,
        "GET /things HTTP/1.1\r\nHost: {api}\r\nAuthorization: {bearer}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}
