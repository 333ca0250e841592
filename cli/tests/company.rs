//! The networks of companies: a proxy that others have written, an authority that only the system knows, and a server that asks for a
//! certificate.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "the servers run on the machine's clock")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{INFO, Services, bare, ends_well, err, fails, succeeds};

/// Is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts Debian's tinyproxy with these further lines of configuration, and returns the place that it listens on.
fn tinyproxy(services: &Services, name: &str, lines: &str) -> (Running, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = services.path(&format!("{name}.log"));
    let lines = format!(
        "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nLogLevel Connect\nLogFile \"{}\"\n{lines}\n",
        log.display()
    );
    let configuration = services.file(&format!("{name}.conf"), lines);
    let mut command = Command::new("tinyproxy");
    command.arg("-d").arg("-c").arg(configuration).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running(command.spawn().expect("tinyproxy is installed"));
    let place = format!("127.0.0.1:{port}");
    let started = Instant::now();
    while TcpStream::connect(&place).is_err() {
        assert!(running.0.try_wait().unwrap().is_none(), "tinyproxy ended: {}", read(&log));
        assert!(started.elapsed() < Duration::from_secs(60), "tinyproxy does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    (running, place)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A request of its own profile, to addresses of this machine that are none of loopback, which never has a proxy.
fn get(services: &Services, number: &mut u32, variables: &[(&str, &str)]) -> Output {
    *number += 1;
    let mut command = services.keyfob(["spatiafi", "get", INFO, "--profile", &number.to_string()]);
    let beside = |url: String| url.replace("127.0.0.1", "0.0.0.0");
    command.env("SPATIAFI_AUTH_URL", beside(services.spatiafi.auth_url()));
    command.env("SPATIAFI_API_URL", beside(services.spatiafi.api_url()));
    command.envs(variables.iter().copied()).output().unwrap()
}

#[test]
#[ignore = "needs tinyproxy"]
fn proxy_of_debian_carries_requests_with_and_without_a_password() {
    let services = Services::start_tls();
    let mut number = 0;
    let mut get = |variables: &[(&str, &str)]| get(&services, &mut number, variables);
    let log = services.path("open.log");
    let connects = || read(&log).matches("CONNECT 0.0.0.0:").count();

    let (_running, place) = tinyproxy(&services, "open", "Allow 127.0.0.1");
    let url = format!("http://{place}");
    for variables in [
        &[("HTTPS_PROXY", url.as_str())][..],
        &[("https_proxy", &place)],
        &[("ALL_PROXY", &url)],
        &[("KEYFOB_PROXY", &url), ("HTTPS_PROXY", "http://127.0.0.1:1")],
    ] {
        let before = connects();
        succeeds(&get(variables));
        // One for the token and one for the API.
        assert_eq!(connects() - before, 2, "{variables:?}: {}", read(&log));
    }
    let before = connects();
    for variables in [
        &[("HTTPS_PROXY", url.as_str()), ("NO_PROXY", "0.0.0.0")][..],
        &[("HTTPS_PROXY", &url), ("KEYFOB_PROXY", "none")],
        &[("http_proxy", &url), ("HTTP_PROXY", &url)],
    ] {
        succeeds(&get(variables));
    }
    assert_eq!(connects(), before, "{}", read(&log));

    let (_running, place) = tinyproxy(&services, "closed", "Allow 10.11.12.13");
    let output = get(&[("HTTPS_PROXY", &format!("http://{place}"))]);
    fails(&output, 5, "the proxy refused to connect (HTTP 403)");

    let (_running, place) =
        tinyproxy(&services, "password", "Allow 127.0.0.1\nBasicAuth ada s3cr3t-of-the-proxy");
    let with = |user: &str| format!("http://{user}{place}");
    let output = get(&[("HTTPS_PROXY", &with(""))]);
    fails(&output, 5, "the proxy requires a user name and a password (HTTP 407)");
    let output = get(&[("HTTPS_PROXY", &with("ada:wrong-of-the-proxy@"))]);
    fails(&output, 5, "the proxy refused the user name and the password");
    assert!(!err(&output).contains("wrong-of-the-proxy"), "{}", err(&output));
    for name in ["HTTPS_PROXY", "KEYFOB_PROXY"] {
        succeeds(&get(&[(name, &with("ada:s3cr3t%2Dof-the-proxy@"))]));
    }
}

/// A company adds its authority to the bundle of the system.
#[test]
#[ignore = "needs root"]
fn authority_in_the_bundle_of_the_system_is_trusted() {
    let services = Services::start_tls();
    services.file("company.pem", services.spatiafi.ca_pem().unwrap());
    for (name, is_trusted) in
        [(None, true), (Some("auto"), true), (Some("system"), true), (Some("builtin"), false)]
    {
        let line = "mkdir -p /etc/ssl/certs && cp /etc/ssl/certs/ca-certificates.crt bundle 2>/dev/null; cat company.pem >> bundle && \
                    mount -t tmpfs none /etc/ssl/certs && cp bundle /etc/ssl/certs/ca-certificates.crt && exec \"$0\" spatiafi token";
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "sh", "-c", line, env!("CARGO_BIN_EXE_keyfob")]);
        let profile = name.unwrap_or("default");
        let plain = services.without(&["KEYFOB_CA_FILE"], "");
        unshare.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        unshare.env("KEYFOB_PROFILE", profile).envs(name.map(|name| ("KEYFOB_CA_FILE", name)));
        let output = unshare.current_dir(services.home.path()).stdin(Stdio::null()).output().unwrap();
        if is_trusted {
            ends_well(&output);
        } else {
            fails(&output, 5, "name the CA file of its authority in KEYFOB_CA_FILE");
        }
    }
}

fn openssl(folder: &Path, words: &str) -> Command {
    let mut command = Command::new("openssl");
    command.args(words.split_whitespace()).current_dir(folder);
    command
}

/// RFC 8705 2, with the certificate of the configuration, and with that of the variables.
#[test]
#[ignore = "needs openssl"]
fn server_of_openssl_accepts_the_configured_client_certificate() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".config/keyfob");
    fs::create_dir_all(&folder).unwrap();
    let make = |words: &str| {
        let output = openssl(&folder, words).output().expect("openssl is installed");
        assert!(output.status.success(), "{words}: {}", err(&output));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365";
    make(&format!("req -x509 {key} -subj /CN=company -keyout ca.key -out ca.pem"));
    for (name, names, more) in [
        ("server", "subjectAltName=IP:127.0.0.1", "extendedKeyUsage=serverAuth"),
        ("client", "subjectAltName=DNS:client.test", "extendedKeyUsage=clientAuth"),
    ] {
        make(&format!(
            "req -x509 {key} -subj /CN={name} -CA ca.pem -CAkey ca.key -addext {names} -addext {more} -addext \
             basicConstraints=critical,CA:FALSE -keyout {name}.key -out {name}.pem"
        ));
    }
    // `-HTTP` sends files as they are.
    fs::write(folder.join("things"), "HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nanvil\n").unwrap();
    let words = "s_server -accept 127.0.0.1:0 -naccept 16 -HTTP -cert server.pem -key server.key -CAfile ca.pem -Verify 1 \
                 -verify_return_error";
    let mut command = openssl(&folder, words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = Running(command.spawn().unwrap());
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let port = lines.find_map(|line| Some(line.unwrap().strip_prefix("ACCEPT 127.0.0.1:")?.to_owned()));
    // Prevents the server from waiting for a reader.
    thread::spawn(move || lines.for_each(drop));
    let section = format!(
        "[service.acme]\ngrant = \"basic\"\napi_url = \"https://127.0.0.1:{}\"\nclient_id = \"ada\"\n",
        port.expect("openssl tells its port")
    );
    let configure = |more: &str| fs::write(folder.join("config.toml"), format!("{section}{more}")).unwrap();
    let get = |variables: &[(&str, &str)]| {
        let mut command = bare(home.path());
        command.args(["acme", "get", "/things"]).env("ACME_CLIENT_SECRET", "of the API");
        command.env("KEYFOB_CA_FILE", folder.join("ca.pem")).envs(variables.iter().copied()).output().unwrap()
    };
    configure("");
    let output = get(&[]);
    fails(
        &output,
        5,
        "the server requires a client certificate that it accepts; set client_cert_file and client_key_file",
    );
    let [certificate, key] = ["client.pem", "client.key"].map(|name| folder.join(name).display().to_string());
    let variables = [("ACME_CLIENT_CERT_FILE", certificate.as_str()), ("ACME_CLIENT_KEY_FILE", key.as_str())];
    assert_eq!(succeeds(&get(&variables)), "anvil\n");
    configure("client_cert_file = \"client.pem\"\nclient_key_file = \"client.key\"\n");
    assert_eq!(succeeds(&get(&[])), "anvil\n");
    // A certificate that the server does not accept.
    configure("client_cert_file = \"ca.pem\"\nclient_key_file = \"ca.key\"\n");
    assert_eq!(succeeds(&get(&variables)), "anvil\n");
}
