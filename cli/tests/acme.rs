//! A server that keyfob has never heard of, by a configuration file alone.
#![cfg(unix)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Output};

use keyfob_sandbox::{AcmeSandbox, Endpoint, Fault};
use support::home::{CLIENT_CREDENTIALS, Home};
use support::{ends_well, err, fails, out, piped, succeeds, url_of};

#[test]
fn six_lines_are_enough_for_every_command() {
    let home = Home::with(CLIENT_CREDENTIALS);
    let token = succeeds(&home.run("acme token")).to_owned();
    assert_eq!(succeeds(&home.run("acme token")), token);
    assert_eq!(home.count(Endpoint::Token), 1);
    assert_eq!(succeeds(&home.run("acme token --format header")), format!("Authorization: Bearer {token}"));
    assert!(succeeds(&home.run("acme token --format json")).contains("\"token_type\":\"Bearer\""));
    assert!(succeeds(&home.run("acme get /things")).contains("anvil"));
    let mut exec = home.keyfob("acme exec -- env");
    let output = exec.env("ACME_CLIENT_ID", home.acme.client_id()).output().unwrap();
    assert!(succeeds(&output).contains(&format!("ACME_ACCESS_TOKEN={}", token.trim())));
    fs::write(home.path("lines"), "/things\n/things\n").unwrap();
    assert_eq!(succeeds(&home.run("acme batch lines")).lines().count(), 2);
    let output = home.run("acme status");
    let place = format!("configured in      {}:1\n", home.path(".config/keyfob/config.toml").display());
    assert!(succeeds(&output).contains(&place), "{}", out(&output));
    assert!(out(&output).contains("grant              client_credentials\n"));
    assert!(out(&output).contains("token              valid for "));
    assert_eq!(home.count(Endpoint::Token), 1);
    ends_well(&home.run("acme logout"));
    assert!(out(&home.run("acme status")).contains("token              none stored\n"));
    ends_well(&home.run("acme token"));
    let output = home.run("acme revoke");
    assert_eq!(err(&output), "keyfob: the token is revoked and removed\n");
    assert_eq!(home.count(Endpoint::Revoke), 1);
}

#[test]
fn introspection_shows_what_the_server_says_without_the_token() {
    let home = Home::with(CLIENT_CREDENTIALS);
    fails(&home.run("acme introspect"), 3, "there is no token to introspect");
    let token = succeeds(&home.run("acme token")).trim().to_owned();
    let output = home.run("acme introspect");
    let answer: serde_json::Value = serde_json::from_str(succeeds(&output)).unwrap();
    assert_eq!((&answer["active"], &answer["scope"]), (&true.into(), &"things.read".into()));
    assert_eq!(answer["client_id"], home.acme.client_id());
    assert!(answer["exp"].as_u64() > answer["iat"].as_u64());
    assert!(!out(&output).contains(&token));
    home.acme.end_access_tokens();
    assert_eq!(succeeds(&home.run("acme introspect")), "{\"active\":false}\n");
    assert_eq!(home.count(Endpoint::Token), 1);
    // Without an endpoint nothing is sent, whatever the grant.
    let total = home.acme.total();
    let section =
        format!("api_url = \"{}\"\nclient_id = \"a\"\nclient_secret_file = \"secret\"", home.acme.api_url());
    home.section(&format!("{section}\n{CLIENT_CREDENTIALS}\ntoken_url = \"{}\"", home.acme.token_url()));
    fails(
        &home.run("acme introspect"),
        2,
        "config.toml:1: introspection_url: is missing; write it, or name the issuer",
    );
    home.section(&format!("{section}\ngrant = \"basic\""));
    fails(&home.run("acme introspect"), 2, "the service `acme` has no token: its requests use HTTP Basic");
    fails(
        &home.run("spatiafi introspect"),
        2,
        "SpatiaFi has no introspection_url: if there is one, write it below ",
    );
    assert_eq!(home.acme.total(), total);
}

#[test]
fn endpoint_that_the_metadata_does_not_name_is_missing_in_the_configuration() {
    let home = Home::with("grant = \"authorization_code\"");
    let (status, said) = device_login(&home, "acme login --device", AcmeSandbox::approve_device);
    assert_eq!(status, Some(0), "{said}");
    let metadata =
        format!(r#"{{"issuer":"{}","token_endpoint":"{}"}}"#, home.acme.issuer(), home.acme.token_url());
    for (words, endpoint, key) in [
        ("acme revoke", "revocation_endpoint", "revocation_url"),
        ("acme introspect", "introspection_endpoint", "introspection_url"),
        ("acme login --device", "device_authorization_endpoint", "device_authorization_url"),
        ("acme login --no-browser", "authorization_endpoint", "authorize_url"),
    ] {
        home.acme.fault(Endpoint::Metadata, Fault::raw(200, "application/json", metadata.as_str()));
        let says = format!("has no `{endpoint}`: give its URL as `{key}`, if the server has this endpoint");
        fails(&home.run(words), 2, &says);
    }
    // Nothing was removed.
    assert!(succeeds(&home.run("acme get /things")).contains("anvil"));
}

#[test]
fn token_of_one_grant_does_not_serve_for_another() {
    let home = Home::with(CLIENT_CREDENTIALS);
    let token = succeeds(&home.run("acme token")).to_owned();
    home.write("grant = \"authorization_code\"\nclient_secret_file = \"secret\"");
    fails(&home.run("acme token"), 3, "nobody has logged in to acme with this client and profile");
    assert!(succeeds(&home.run("acme status")).contains("none stored"));
    let (status, said) = device_login(&home, "acme login --device", AcmeSandbox::approve_device);
    assert_eq!(status, Some(0), "{said}");
    let of_person = succeeds(&home.run("acme token")).to_owned();
    // A person may log in on another device, and is the same person.
    home.write("grant = \"device_code\"\nclient_secret_file = \"secret\"");
    assert_eq!(succeeds(&home.run("acme token")), of_person);
    home.write(&format!("{CLIENT_CREDENTIALS}\nclient_secret_file = \"secret\""));
    assert_eq!(succeeds(&home.run("acme token")), token);
}

#[test]
fn services_are_listed_with_grant_and_place() {
    let home = Home::with(CLIENT_CREDENTIALS);
    let path = home.path(".config/keyfob/config.toml");
    let shown = path.display();
    let more = "[service.b]\ngrant = \"device_code\"\n[service.spacebring]\n";
    let text = fs::read_to_string(&path).unwrap() + more;
    fs::write(&path, &text).unwrap();
    let last = text.lines().count();
    let expected = format!(
        "spatiafi    client_credentials  built in\nspacebring  authorization_code  built in, changed in {shown}:{last}\n\
         acme        client_credentials  {shown}:1\nb           device_code         {shown}:{}\n",
        last - 2
    );
    assert_eq!(succeeds(&home.run("services")), expected);
    let listed: serde_json::Value =
        serde_json::from_str(succeeds(&home.run("services --format json"))).unwrap();
    assert_eq!(listed[2]["name"], "acme");
    assert_eq!((&listed[0]["built_in"], &listed[2]["built_in"]), (&true.into(), &false.into()));
    assert_eq!(listed[2]["configured_at"], format!("{shown}:1"));
    fs::write(&path, "[service.acme]\nisuer = 1\n").unwrap();
    fails(&home.run("services"), 2, "config.toml:2: isuer: is not a key of a service");
}

#[test]
fn status_without_a_service_shows_all_of_them() {
    let home = Home::with(CLIENT_CREDENTIALS);
    let path = home.path(".config/keyfob/config.toml");
    let token = succeeds(&home.run("acme token")).trim().to_owned();
    let output = home.run("status");
    let blocks: Vec<_> = succeeds(&output).split("\n\n").collect();
    let names = |blocks: &[&str]| -> Vec<String> {
        blocks.iter().map(|block| block.lines().next().unwrap().to_owned()).collect()
    };
    let expected = ["spatiafi", "spacebring", "acme"].map(|name| format!("service            {name}"));
    assert_eq!(names(&blocks), expected);
    assert_eq!(format!("{}\n", blocks[1]), succeeds(&home.run("spacebring status")));
    let listed = |output: &Output| -> Vec<serde_json::Value> { serde_json::from_str(out(output)).unwrap() };
    let output = home.run("status --format json");
    ends_well(&output);
    assert_eq!(listed(&output)[2]["token"]["valid"], true);
    assert!(!out(&output).contains(&token));
    // The first failure decides, and keeps no service from being shown.
    let text = fs::read_to_string(&path).unwrap();
    let more = "[service.b]\ngrant = \"basic\"\n[service.c]\napi_url = \"https://api.example.com\"\nclient_id = \"me\"\ngrant = \"basic\"\n";
    fs::write(&path, text + more).unwrap();
    let output = home.run("status");
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    let missing = format!("{}:7: api_url: is missing; ", path.display());
    assert!(err(&output).starts_with(&format!("keyfob: error: {missing}")), "{}", err(&output));
    let blocks: Vec<_> = out(&output).split("\n\n").collect();
    assert_eq!(blocks.len(), 5);
    assert!(blocks[3].starts_with(&format!("service            b\nproblem            {missing}")));
    assert!(blocks[4].contains("\nproblem            C_CLIENT_SECRET is not set"), "{}", blocks[4]);
    let output = home.run("status --format json");
    assert_eq!(output.status.code(), Some(2));
    let listed = listed(&output);
    assert!(listed[3]["problems"][0].as_str().unwrap().starts_with(&missing));
    assert!(listed[4]["problems"][0].as_str().unwrap().starts_with("C_CLIENT_SECRET is not set"));
    assert_eq!((home.acme.total(), &listed[3]["service"]), (home.count(Endpoint::Token) + 1, &"b".into()));
    // A mistake in the file comes first, as for each command.
    fs::write(&path, "[service.acme]\nisuer = 1\n").unwrap();
    fails(&home.run("status"), 2, "config.toml:2: isuer: is not a key of a service");
}

#[test]
fn wanted_scope_parameters_and_headers_are_sent() {
    let home = Home::with(CLIENT_CREDENTIALS);
    let lines = format!(
        "{CLIENT_CREDENTIALS}\nclient_secret_cmd = \"cat {}\"\nclient_auth = \"client_secret_post\"\n\
         scope = \"things.read things.write\"\nrate = 100\nparameters = {{ audience = \"{}\" }}\n\
         headers = {{ x-api-version = \"2\" }}\n[service.acme.header_files]\nx-api-key = \"key\"",
        home.path(".config/keyfob/secret").display(),
        home.acme.api_url()
    );
    home.write(&lines);
    home.file("key", "k-123456\n");
    ends_well(&home.run("acme post /things --json {\"name\":\"rope\"}"));
    let log = format!("{:?}", home.acme.requests());
    for text in ["x-api-version", "x-api-key", "audience"] {
        assert!(log.contains(text), "{text}: {log}");
    }
    // An unwanted audience shows that the parameter reaches the server.
    home.write(&lines.replace(&home.acme.api_url(), "https://elsewhere.example"));
    fails(&home.run("acme token --profile other"), 4, "invalid_target");
    // A header of the service cannot be replaced.
    home.write(&lines);
    let mut command = home.keyfob("acme get /things");
    fails(
        &command.args(["--header", "X-Api-Key: other"]).output().unwrap(),
        2,
        "the header x-api-key is set by the configuration, ",
    );
}

#[test]
fn variables_come_before_the_file_and_options_before_both() {
    let home = Home::with(CLIENT_CREDENTIALS);
    home.section(&format!(
        "issuer = \"https://127.0.0.1:1\"\napi_url = \"https://127.0.0.1:1\"\nclient_id = \"nobody\"\n{CLIENT_CREDENTIALS}\n\
         client_secret_file = \"nowhere\""
    ));
    let mut command = home.keyfob("acme get /things");
    assert!(succeeds(&command.envs(home.acme.env()).output().unwrap()).contains("anvil"));
    // A variable of the secret itself, and its other forms.
    home.file("secret", &home.secret());
    let secret = home.path(".config/keyfob/secret");
    for (name, value) in
        [("_FILE", secret.display().to_string()), ("_CMD", format!("cat {}", secret.display()))]
    {
        let mut command = home.keyfob("acme token --profile");
        command.arg(name).envs(home.acme.env()).env_remove("ACME_CLIENT_SECRET");
        succeeds(&command.env(format!("ACME_CLIENT_SECRET{name}"), value).output().unwrap());
    }
    let mut command = home.keyfob("acme token");
    command.envs(home.acme.env()).env("ACME_CLIENT_SECRET_FILE", "x");
    fails(
        &command.output().unwrap(),
        2,
        "ACME_CLIENT_SECRET is set twice, by ACME_CLIENT_SECRET and by ACME_CLIENT_SECRET_FILE: unset one of them",
    );
    // A bad variable is named. An empty one counts as unset.
    home.write(&format!("{CLIENT_CREDENTIALS}\nclient_secret_file = \"secret\""));
    let mut command = home.keyfob("acme token");
    fails(
        &command.env("ACME_API_URL", "http://api.example.com").output().unwrap(),
        2,
        "error: ACME_API_URL: the API URL is plain http",
    );
    let mut command = home.keyfob("acme token");
    succeeds(&command.env("ACME_API_URL", "").env("ACME_CLIENT_SECRET", "").output().unwrap());
}

/// Each variable replaces the line of the file, and works without one. The values are refused, and the error names the variable.
#[test]
fn each_setting_of_a_service_has_a_variable() {
    let home = Home::with(CLIENT_CREDENTIALS);
    let login = "grant = \"authorization_code\"";
    for (key, grant) in [
        ("api_url", CLIENT_CREDENTIALS),
        ("issuer", CLIENT_CREDENTIALS),
        ("token_url", CLIENT_CREDENTIALS),
        ("revocation_url", CLIENT_CREDENTIALS),
        ("introspection_url", CLIENT_CREDENTIALS),
        ("scope", CLIENT_CREDENTIALS),
        ("client_id", CLIENT_CREDENTIALS),
        ("authorize_url", login),
        ("redirect_uri", login),
        ("device_authorization_url", "grant = \"device_code\""),
    ] {
        home.write(&format!("{grant}\nclient_secret_file = \"secret\""));
        let name = format!("ACME_{}", key.to_uppercase());
        let mut command = home.keyfob("acme token");
        let output = command.env(&name, "ftp://bad\u{7f}").output().unwrap();
        fails(&output, 2, &format!("keyfob: error: {name}: "));
    }
    // A TLS client certificate needs both of its files.
    for (set, unset) in [("CERT", "KEY"), ("KEY", "CERT")] {
        for service in ["acme", "spatiafi", "spacebring"] {
            let [set, unset] =
                [set, unset].map(|part| format!("{}_CLIENT_{part}_FILE", service.to_uppercase()));
            let mut command = home.keyfob(&format!("{service} status"));
            let output = command.env(&set, "x").output().unwrap();
            fails(&output, 2, &format!("{set} is set, but {unset} is not: set both"));
        }
    }
    assert_eq!(home.acme.total(), 0);
}

/// A server of one's own can stand in for a built-in service, by variables alone.
#[test]
fn variables_of_a_built_in_service_are_those_of_any_service() {
    let home = Home::with(CLIENT_CREDENTIALS);
    let acme = &home.acme;
    let built_in = |words: &str| {
        let mut command = home.keyfob(words);
        for service in ["SPATIAFI", "SPACEBRING"] {
            command.env(format!("{service}_CLIENT_ID"), acme.client_id());
            command.env(format!("{service}_CLIENT_SECRET"), acme.client_secret());
            command.env(format!("{service}_API_URL"), acme.api_url());
            command.env(format!("{service}_TOKEN_URL"), acme.token_url());
        }
        command
    };
    let mut scoped = built_in("spatiafi token --format json");
    scoped.env("SPATIAFI_SCOPE", "things.write");
    assert!(succeeds(&scoped.output().unwrap()).contains("\"scope\":\"things.write\""));
    let mut command = built_in("spatiafi introspect");
    command.env("SPATIAFI_SCOPE", "things.write");
    fails(&command.output().unwrap(), 2, "SpatiaFi has no introspection_url");
    succeeds(&command.env("SPATIAFI_INTROSPECTION_URL", acme.introspection_url()).output().unwrap());
    let mut command = built_in("spatiafi token --format json --profile issuer");
    command.env_remove("SPATIAFI_TOKEN_URL").env("SPATIAFI_ISSUER", acme.issuer());
    succeeds(&command.output().unwrap());
    let mut login = built_in("spacebring login --no-browser");
    login.env("SPACEBRING_SCOPE", "locations.readonly").env("SPACEBRING_AUTHORIZE_URL", acme.authorize_url());
    let mut child = piped(&mut login);
    assert!(url_of(&mut child).contains("scope=locations.readonly&"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn no_secret_in_any_source_needs_credentials() {
    let home = Home::with(CLIENT_CREDENTIALS);
    home.write(CLIENT_CREDENTIALS);
    for words in ["acme token", "acme get /things", "acme status"] {
        let output = home.run(words);
        assert_eq!(output.status.code(), Some(3), "{}", err(&output));
        let says = "ACME_CLIENT_SECRET is not set, nor its _FILE, _FD or _CMD: set one, or write client_secret_file below ";
        assert!(err(&output).contains(says), "{}", err(&output));
    }
    // A client authentication that cannot work with the grant.
    home.write(&format!("{CLIENT_CREDENTIALS}\nclient_auth = \"none\""));
    assert_eq!(home.run("acme token").status.code(), Some(2));
    // A short key is found before anything is sent.
    home.write(&format!("{CLIENT_CREDENTIALS}\nclient_auth = \"client_secret_jwt\""));
    let mut command = home.keyfob("acme token");
    fails(&command.env("ACME_CLIENT_SECRET", "short").output().unwrap(), 2, "HS256 needs at least 32");
    assert_eq!(home.acme.total(), 0);
}

#[test]
fn each_client_authentication_works() {
    let home = Home::with(CLIENT_CREDENTIALS);
    for auth in ["client_secret_basic", "client_secret_post", "client_secret_jwt"] {
        home.write(&format!(
            "{CLIENT_CREDENTIALS}\nclient_auth = \"{auth}\"\nclient_secret_file = \"secret\""
        ));
        succeeds(&home.run(&format!("acme token --profile {auth}")));
    }
    home.write(&format!("{CLIENT_CREDENTIALS}\nclient_auth = \"assertion\"\nassertion_file = \"jwt\""));
    // The file is read again for each request.
    for profile in ["one", "other"] {
        home.file("jwt", &home.acme.assertion());
        succeeds(&home.run(&format!("acme token --profile {profile}")));
    }
    assert_eq!(home.count(Endpoint::Token), 5);
}

/// Token exchange (RFC 8693). Acme does not know this grant, so its answers are made up.
#[test]
fn extension_grant_takes_its_parameter_from_a_file() {
    const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
    let home = Home::with(&format!(
        "grant = \"{TOKEN_EXCHANGE}\"\nparameter_files = {{ subject_token = \"subject\" }}"
    ));
    let mut lengths = Vec::new();
    for profile in ["one", "other"] {
        home.file("subject", &format!("subject of {profile}\n"));
        let answer = format!(r#"{{"access_token":"{profile}","token_type":"Bearer","expires_in":60}}"#);
        home.acme.fault(Endpoint::Token, Fault::raw(200, "application/json", answer));
        assert_eq!(
            succeeds(&home.run(&format!("acme token --min-valid 0 --profile {profile}"))).trim(),
            profile
        );
        let request = home.acme.requests().pop().unwrap();
        let names: Vec<_> = request.form.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, ["grant_type", "subject_token"]);
        lengths.push(request.body_length);
    }
    // The sandbox masks the value, but "subject of other" is two bytes longer than "subject of one".
    assert_eq!(lengths[1] - lengths[0], 2);
    assert_eq!(home.count(Endpoint::Token), 2);
    fs::remove_file(home.path(".config/keyfob/subject")).unwrap();
    fails(
        &home.run("acme token --profile third"),
        7,
        &format!(
            "could not read the file that parameter_files.subject_token in {}:6 names: no such file",
            home.path(".config/keyfob/config.toml").display()
        ),
    );
    home.file("subject", "a\nb\n");
    fails(&home.run("acme token --profile third"), 2, "has more than one line");
}

#[test]
fn login_by_browser_keeps_the_refresh_token() {
    let home = Home::with(
        "grant = \"authorization_code\"\nscope = \"things.read\"\nredirect_uri = \"http://127.0.0.1:0/callback\"",
    );
    let output = home.run("acme token");
    fails(&output, 3, "nobody has logged in to acme with this client and profile: run `keyfob acme login`");
    let mut child = piped(&mut home.keyfob("acme login --no-browser"));
    let callback = home.acme.approve(&url_of(&mut child));
    writeln!(child.stdin.take().unwrap(), "{callback}").unwrap();
    ends_well(&child.wait_with_output().unwrap());
    assert!(succeeds(&home.run("acme get /things")).contains("anvil"));
    home.acme.end_access_tokens();
    assert!(succeeds(&home.run("acme get /things")).contains("anvil"));
    assert_eq!((home.acme.logins(), home.acme.refreshes()), (1, 1));
    ends_well(&home.run("acme revoke"));
    assert_eq!(home.run("acme get /things").status.code(), Some(3));
}

/// Returns the code that the command shows, and the lines before it.
fn device_login(home: &Home, words: &str, decide: impl FnOnce(&AcmeSandbox, &str)) -> (Option<i32>, String) {
    home.acme.set_poll_interval(std::time::Duration::from_secs(1));
    let mut child = piped(&mut home.keyfob(words));
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("code ") {
        assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
    }
    let code = said.trim_end().rsplit(' ').next().unwrap().to_owned();
    decide(&home.acme, &code);
    std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

#[test]
fn login_by_device_shows_code_and_address_and_needs_no_terminal() {
    let home = Home::with("grant = \"device_code\"\nscope = \"things.read\"");
    let (status, said) = device_login(&home, "acme login", AcmeSandbox::approve_device);
    assert_eq!(status, Some(0), "{said}");
    let page = home.acme.verification_uri();
    assert!(said.starts_with(&format!("keyfob: open {page} on any device, and enter the code ")), "{said}");
    // The complete address stands beside the code (RFC 8628 3.3.1).
    assert!(said.contains(&format!("keyfob: or open {page}?user_code=")), "{said}");
    assert!(said.ends_with("keyfob: logged in for things.read\n"), "{said}");
    assert!(succeeds(&home.run("acme get /things")).contains("anvil"));
    home.acme.end_access_tokens();
    assert!(succeeds(&home.run("acme get /things")).contains("anvil"));
    // A denied login, and a code that has expired.
    let (status, said) = device_login(&home, "acme login --profile other", AcmeSandbox::deny_device);
    assert_eq!(status, Some(3), "{said}");
    home.acme.set_device_code_lifetime(std::time::Duration::from_secs(1));
    let (status, said) = device_login(&home, "acme login --profile third", |_, _| ());
    assert_eq!(status, Some(3), "{said}");
}

#[test]
fn service_with_a_browser_login_can_log_in_by_device_for_once() {
    let home = Home::with("grant = \"authorization_code\"");
    let (status, said) = device_login(&home, "acme login --device", AcmeSandbox::approve_device);
    assert_eq!(status, Some(0), "{said}");
    assert!(succeeds(&home.run("acme get /things")).contains("anvil"));
    // Without an endpoint for it, nothing is sent.
    home.section(&format!(
        "token_url = \"{}\"\nauthorize_url = \"{}\"\napi_url = \"{}\"\nclient_id = \"a\"\ngrant = \"authorization_code\"\n\
         client_secret_file = \"secret\"",
        home.acme.token_url(),
        home.acme.authorize_url(),
        home.acme.api_url()
    ));
    let total = home.acme.total();
    fails(
        &home.run("acme login --device"),
        2,
        "device_authorization_url: is missing, so there is no device login",
    );
    fails(&home.run("acme revoke"), 2, "revocation_url: is missing; write it, or name the issuer");
    assert_eq!(home.acme.total(), total);
}

#[test]
fn grant_without_a_login_refuses_it() {
    let home = Home::with(CLIENT_CREDENTIALS);
    let needless = |grant: &str| format!("the service `acme` needs no login: its grant is `{grant}`");
    for words in ["acme login", "acme login --device", "acme login --scope a"] {
        fails(&home.run(words), 2, &needless("client_credentials"));
    }
    home.write("grant = \"basic\"\nclient_secret_file = \"secret\"");
    home.section(&format!(
        "api_url = \"{}\"\nclient_id = \"{}\"\ngrant = \"basic\"\nclient_secret_file = \"secret\"",
        home.acme.api_url(),
        home.acme.client_id()
    ));
    for words in ["acme login", "acme login --device", "acme login --scope a"] {
        fails(&home.run(words), 2, &needless("basic"));
    }
    let output = home.run("acme logout");
    let said = "keyfob: there are no tokens: requests use HTTP Basic, which needs none\n";
    assert_eq!((output.status.code(), out(&output), err(&output)), (Some(0), "", said));
    assert!(succeeds(&home.run("acme token --format header")).starts_with("Authorization: Basic "));
    for words in ["acme token", "acme token --format json", "acme login", "acme revoke", "acme exec -- true"]
    {
        let output = home.run(words);
        assert_eq!(output.status.code(), Some(2), "{words}: {}", err(&output));
    }
    assert_eq!(home.acme.total(), 0);
}

#[test]
fn programs_get_no_secret_of_a_configured_service() {
    let home = Home::with(CLIENT_CREDENTIALS);
    let mut command = home.keyfob("acme exec -- env");
    command.env("ACME_CLIENT_SECRET_FILE", home.path(".config/keyfob/secret"));
    command
        .env("SPATIAFI_CLIENT_SECRET", "hunter2")
        .env("KEYFOB_CONFIG", home.path(".config/keyfob/config.toml"));
    let output = command.output().unwrap();
    assert!(!succeeds(&output).contains("SECRET"), "{}", out(&output));
    // A descriptor of the file of the secret is closed, although only the configuration names the file.
    let line = format!(
        "exec 5<{}; exec {} acme exec -- sh -c 'ls -l /proc/self/fd'",
        home.path(".config/keyfob/secret").display(),
        env!("CARGO_BIN_EXE_keyfob")
    );
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &line])
        .env_clear()
        .env("HOME", home.folder.path())
        .env("PATH", std::env::var_os("PATH").unwrap());
    let output = shell.output().unwrap();
    assert!(!succeeds(&output).contains("keyfob/secret"), "{}", out(&output));
}

#[test]
fn section_of_a_built_in_service_changes_its_defaults() {
    let home = Home::with(CLIENT_CREDENTIALS);
    let path = home.path(".config/keyfob/config.toml");
    let text = format!(
        "[service.spacebring]\napi_url = \"{}\"\nclient_id = \"{}\"\nclient_secret_file = \"secret\"\n\
         headers = {{ x-team = \"a\" }}\nrate = 3\n",
        home.acme.api_url(),
        home.acme.client_id()
    );
    fs::write(&path, &text).unwrap();
    let output = home.run("spacebring status");
    assert!(succeeds(&output).contains(&format!(
        "client id          {}, from {}:3\n",
        home.acme.client_id(),
        path.display()
    )));
    assert!(out(&output).contains("client secret      from client_secret_file in "), "{}", out(&output));
    // Acme's API accepts tokens only; the request shows what was sent.
    assert_eq!(home.run("spacebring get /things").status.code(), Some(8));
    let log = format!("{:?}", home.acme.requests());
    assert!(log.contains("x-team") && log.contains("authorization"), "{log}");
    // A variable comes first.
    let mut command = home.keyfob("spacebring get /things");
    command.env("SPACEBRING_API_URL", "http://127.0.0.1:1");
    assert_eq!(command.output().unwrap().status.code(), Some(5));
}
