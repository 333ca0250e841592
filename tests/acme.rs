//! Each flow against the sandbox's ordinary OAuth 2.0 server, which refuses every request that the standards do not allow.

#![allow(clippy::disallowed_methods, reason = "a person takes time on the machine's clock")]

#[path = "support/folder.rs"]
mod folder;

use std::sync::Arc;
use std::time::Duration;

use folder::Folder;
use keyfob::flow::{
    AuthorizationCode, ClientCredentials, DeviceCode, ExtensionGrant, Introspect, PendingLogin, Refresh,
    Revoke,
};
use keyfob::{
    ClientAuth, Error, ErrorKind, Metadata, Secret, Service, ServiceBuilder, Token, TokenSource as _,
    Transport, ureq,
};
use keyfob_sandbox::{AcmeSandbox, Discovery, Endpoint, LoggedRequest};

const REDIRECT: &str = "http://127.0.0.1:0/callback";

/// The four ways in which the first client authenticates.
fn authentications(acme: &Arc<AcmeSandbox>) -> [(&'static str, ClientAuth); 4] {
    let (id, secret) = (acme.client_id(), acme.client_secret());
    // Each of these assertions can be used once.
    let platform = Arc::clone(acme);
    [
        ("secret_basic", ClientAuth::secret_basic(id, secret)),
        ("secret_post", ClientAuth::secret_post(id, secret)),
        ("secret_jwt", ClientAuth::secret_jwt(id, secret)),
        ("assertion", ClientAuth::assertion(id, move || Ok(Secret::from(platform.assertion())))),
    ]
}

fn auth(acme: &AcmeSandbox) -> ClientAuth {
    ClientAuth::secret_basic(acme.client_id(), acme.client_secret())
}

fn things(acme: &AcmeSandbox, token: &Token) -> u16 {
    let bearer = format!("Bearer {}", token.access_token().expose_str().unwrap());
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    let call = agent.get(format!("{}/things", acme.api_url())).header("authorization", bearer).call();
    call.unwrap().status().as_u16()
}

fn start(acme: &AcmeSandbox, auth: ClientAuth) -> PendingLogin {
    let flow = AuthorizationCode::new(acme.authorize_url(), acme.token_url(), auth, REDIRECT);
    flow.with_issuer(acme.issuer()).with_scope("things.read").start(&Transport::new()).unwrap()
}

fn log_in(acme: &AcmeSandbox, auth: ClientAuth) -> Token {
    let login = start(acme, auth);
    let callback = acme.approve(login.url());
    login.finish(&callback).unwrap()
}

/// The refusal's kind and code, after which nothing else was asked.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind, code: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.oauth_error()), (kind, Some(code)), "{error}");
}

/// The names of the parameters of a form, in the order in which they were sent.
fn names(request: &LoggedRequest) -> Vec<&str> {
    request.form.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn client_credentials_work_with_each_client_authentication() {
    let acme = Arc::new(AcmeSandbox::start());
    let transport = Transport::new();
    let own: [&[&str]; 4] = [
        &[],
        &["client_id", "client_secret"],
        &["client_assertion_type", "client_assertion"],
        &["client_id", "client_assertion_type", "client_assertion"],
    ];
    for ((name, auth), own) in authentications(&acme).into_iter().zip(own) {
        acme.clear_requests();
        let flow = ClientCredentials::new(acme.token_url(), auth)
            .with_scope("things.read")
            .with_parameter("audience", acme.api_url());
        let token = flow.run(&transport).unwrap();
        assert_eq!(things(&acme, &token), 200, "{name}");
        let request = &acme.requests()[0];
        assert_eq!(names(request), [own, &["grant_type", "scope", "audience"]].concat(), "{name}");
        assert_eq!(request.header("authorization").is_some(), own.is_empty(), "{name}");
    }
}

#[test]
fn wrong_secret_and_unknown_client_are_refused_with_invalid_client() {
    let acme = Arc::new(AcmeSandbox::start());
    let transport = Transport::new();
    let wrong = "a secret that is wrong, and long enough";
    for (id, secret) in [(acme.client_id(), wrong), ("nobody", acme.client_secret())] {
        for auth in [
            ClientAuth::secret_basic(id, secret),
            ClientAuth::secret_post(id, secret),
            ClientAuth::secret_jwt(id, secret),
        ] {
            let what = format!("{auth:?}");
            let error = ClientCredentials::new(acme.token_url(), auth).run(&transport).unwrap_err();
            let expected = (ErrorKind::Refused, Some("invalid_client"));
            assert_eq!((error.kind(), error.oauth_error()), expected, "{what}: {error}");
        }
    }
}

#[test]
fn login_refreshes_rotate_and_revocation_ends_it() {
    let acme = Arc::new(AcmeSandbox::start());
    let transport = Transport::new();
    let public = ClientAuth::none(acme.public_client_id());
    for auth in authentications(&acme).map(|(_, auth)| auth).into_iter().chain([public]) {
        let first = log_in(&acme, auth.clone());
        assert_eq!((things(&acme, &first), first.scope()), (200, Some("things.read")));
        let refresh = Refresh::new(acme.token_url(), auth.clone());
        let second = refresh.run(&transport, &first).unwrap();
        assert_ne!(first.refresh_token().unwrap().expose(), second.refresh_token().unwrap().expose());
        assert_eq!(things(&acme, &second), 200);
        Revoke::new(acme.revocation_url(), auth)
            .with_parameter("token_type_hint", "refresh_token")
            .run(&transport, second.refresh_token().unwrap())
            .unwrap();
        assert_eq!(things(&acme, &second), 401);
        refused(refresh.run(&transport, &second), ErrorKind::LoginRequired, "invalid_grant");
    }
}

#[test]
fn refresh_token_that_is_used_again_ends_the_login() {
    let acme = Arc::new(AcmeSandbox::start());
    let (transport, auth) = (Transport::new(), auth(&acme));
    let first = log_in(&acme, auth.clone());
    let refresh = Refresh::new(acme.token_url(), auth);
    let second = refresh.run(&transport, &first).unwrap();
    refused(refresh.run(&transport, &first), ErrorKind::LoginRequired, "invalid_grant");
    assert_eq!(things(&acme, &second), 401);
    refused(refresh.run(&transport, &second), ErrorKind::LoginRequired, "invalid_grant");
}

#[test]
fn code_that_is_used_again_ends_the_login() {
    let acme = Arc::new(AcmeSandbox::start());
    let login = start(&acme, auth(&acme));
    let callback = acme.approve(login.url());
    let query = callback.split_once('?').unwrap().1;
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    let code = parameters.find(|(name, _)| name == "code").unwrap().1;
    let token = login.finish(&callback).unwrap();
    let again = ExtensionGrant::new(acme.token_url(), auth(&acme), "authorization_code")
        .with_secret_parameter("code", code.into_owned())
        .with_parameter("redirect_uri", REDIRECT)
        .with_parameter("code_verifier", "x");
    refused(again.run(&Transport::new()), ErrorKind::LoginRequired, "invalid_grant");
    assert_eq!(things(&acme, &token), 401);
}

#[test]
fn denied_login_and_callback_of_another_issuer_are_reported() {
    let acme = Arc::new(AcmeSandbox::start());
    let login = start(&acme, auth(&acme));
    let denied = acme.deny(login.url());
    refused(login.finish(&denied), ErrorKind::LoginRequired, "access_denied");

    let login = start(&acme, auth(&acme));
    let callback = acme.approve(login.url());
    let issuer: String = form_urlencoded::byte_serialize(acme.issuer().as_bytes()).collect();
    for other in [callback.replace(&issuer, "https%3A%2F%2Fevil.example"), callback.replace("iss=", "x=")] {
        let error = login.can_finish(&other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    }
    assert_eq!(acme.count(Endpoint::Token), 0);
    login.finish(&callback).unwrap();
}

/// The builder of a service that knows only the issuer of its server.
fn service(acme: &AcmeSandbox) -> ServiceBuilder {
    Service::builder("acme").issuer(acme.issuer()).api_url(acme.api_url()).scope("things.read things.write")
}

fn paths(acme: &AcmeSandbox) -> Vec<String> {
    acme.requests().iter().map(|request| format!("{} {}", request.method, request.path)).collect()
}

const METADATA: &str = "GET /.well-known/oauth-authorization-server/acme";
const OPENID_METADATA: &str = "GET /acme/.well-known/openid-configuration";

#[test]
fn service_by_issuer_finds_its_endpoints_at_either_address() {
    for (discovery, asked) in [
        (Discovery::OAuth, &[METADATA][..]),
        (Discovery::OpenId, &[METADATA, OPENID_METADATA]),
        (Discovery::Both, &[METADATA]),
    ] {
        let acme = Arc::new(AcmeSandbox::start());
        acme.set_discovery(discovery);
        let service = service(&acme).client_credentials(auth(&acme)).build().unwrap();
        assert!(acme.requests().is_empty(), "{discovery:?}");
        let agent = service.agent();
        for _ in 0..2 {
            agent.get(format!("{}/things", acme.api_url())).call().unwrap();
        }
        let calls = ["POST /acme/token", "GET /things", "GET /things"];
        assert_eq!(paths(&acme), [asked, &calls].concat(), "{discovery:?}");
        agent.post(format!("{}/things", acme.api_url())).send_json(["not a thing"]).unwrap_err();
        let post = agent.post(format!("{}/things", acme.api_url()));
        assert_eq!(post.send_json(serde_json::json!({ "name": "rope" })).unwrap().status(), 201);
    }
}

#[test]
fn issuer_that_is_not_named_exactly_is_refused() {
    let acme = Arc::new(AcmeSandbox::start());
    let transport = Transport::new();
    assert_eq!(Metadata::discover(&transport, &acme.issuer()).unwrap().issuer(), acme.issuer());
    let slash = Metadata::discover(&transport, &format!("{}/", acme.issuer())).unwrap_err();
    assert!(slash.kind() == ErrorKind::Protocol && slash.to_string().contains("another issuer"), "{slash}");
    let root = acme.issuer().replace("/acme", "");
    let error = Metadata::discover(&transport, &root).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    assert_eq!(acme.count(Endpoint::Token), 0);
}

#[test]
fn login_of_a_service_by_issuer_demands_the_promised_iss() {
    let acme = Arc::new(AcmeSandbox::start());
    let partner = service(&acme).authorization_code(auth(&acme), REDIRECT).build().unwrap();
    let login = partner.start_login().unwrap();
    let callback = acme.approve(login.url());
    let error = login.can_finish(&callback.replace("iss=", "x=")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    partner.finish_login(login.finish(&callback).unwrap()).unwrap();

    let agent = partner.agent();
    let get = || agent.get(format!("{}/things", acme.api_url())).call();
    get().unwrap();
    acme.end_access_tokens();
    get().unwrap();
    assert_eq!(acme.refreshes(), 1);
    let token = partner.source().token(Duration::ZERO).unwrap();
    partner.revoke().unwrap();
    assert_eq!(things(&acme, &token), 401);
    assert!(Error::from(get().unwrap_err()).is_login_required());
}

#[test]
fn service_by_issuer_works_over_tls() {
    let acme = AcmeSandbox::start_tls();
    let transport = Transport::new().with_ca_file(acme.ca_file().unwrap());
    let service = service(&acme).client_credentials(auth(&acme)).transport(transport).build().unwrap();
    service.agent().get(format!("{}/things", acme.api_url())).call().unwrap();
}

const WAIT: Duration = Duration::from_secs(60);

/// A sandbox whose devices may poll once a second.
fn device_sandbox() -> Arc<AcmeSandbox> {
    let acme = Arc::new(AcmeSandbox::start());
    acme.set_poll_interval(Duration::from_secs(1));
    acme
}

fn start_device(acme: &AcmeSandbox, auth: ClientAuth) -> PendingLogin {
    let flow = DeviceCode::new(acme.device_authorization_url(), acme.token_url(), auth);
    flow.with_scope("things.read").start(&Transport::new()).unwrap()
}

#[test]
fn device_login_is_allowed_after_the_first_poll() {
    let acme = device_sandbox();
    let login = start_device(&acme, auth(&acme));
    let user_code = login.user_code().unwrap().to_owned();
    assert_eq!(login.verification_uri(), acme.verification_uri());
    assert_eq!(login.url(), format!("{}?user_code={user_code}", acme.verification_uri()));
    assert!(login.poll().unwrap().is_none());
    acme.approve_device(&user_code);
    let token = login.wait(WAIT).unwrap();
    assert_eq!((things(&acme, &token), token.scope()), (200, Some("things.read")));
    let requests = acme.requests();
    let statuses: Vec<_> = requests.iter().map(|request| (request.endpoint, request.status)).collect();
    let token_400 = (Endpoint::Token, 400);
    let expected =
        [(Endpoint::DeviceAuthorization, 200), token_400, (Endpoint::Token, 200), (Endpoint::Things, 200)];
    assert_eq!(statuses, expected);
    assert_eq!(
        (names(&requests[0]), names(&requests[1])),
        (vec!["scope"], vec!["grant_type", "device_code"])
    );
    let refreshed = Refresh::new(acme.token_url(), auth(&acme)).run(&Transport::new(), &token).unwrap();
    assert_eq!(things(&acme, &refreshed), 200);
}

#[test]
fn device_login_works_with_each_client_authentication() {
    let acme = device_sandbox();
    let public = ClientAuth::none(acme.public_client_id());
    // At the same time, because each waits before it asks.
    std::thread::scope(|scope| {
        for auth in authentications(&acme).map(|(_, auth)| auth).into_iter().chain([public]) {
            let acme = &acme;
            scope.spawn(move || {
                let what = format!("{auth:?}");
                let login = start_device(acme, auth);
                acme.approve_device(login.user_code().unwrap());
                assert_eq!(things(acme, &login.wait(WAIT).unwrap()), 200, "{what}");
            });
        }
    });
}

#[test]
fn denied_and_expired_device_logins_require_another_login() {
    let acme = device_sandbox();
    let login = start_device(&acme, auth(&acme));
    acme.deny_device(login.user_code().unwrap());
    refused(login.wait(WAIT), ErrorKind::LoginRequired, "access_denied");

    let login = start_device(&acme, auth(&acme));
    acme.clock().advance(Duration::from_secs(600));
    refused(login.wait(WAIT), ErrorKind::LoginRequired, "expired_token");
}

#[test]
fn service_by_issuer_logs_a_device_in() {
    let acme = device_sandbox();
    let device = service(&acme).device_code(ClientAuth::none(acme.public_client_id())).build().unwrap();
    let login = device.start_login().unwrap();
    acme.approve_device(login.user_code().unwrap());
    device.finish_login(login.wait(WAIT).unwrap()).unwrap();
    let agent = device.agent();
    let get = || agent.get(format!("{}/things", acme.api_url())).call();
    get().unwrap();
    acme.end_access_tokens();
    get().unwrap();
    assert_eq!((acme.logins(), acme.refreshes(), acme.count(Endpoint::Metadata)), (1, 1, 1));
    device.revoke().unwrap();
    assert!(Error::from(get().unwrap_err()).is_login_required());
}

#[test]
fn assertion_that_is_not_made_again_for_each_request_is_refused() {
    let acme = Arc::new(AcmeSandbox::start());
    let transport = Transport::new();
    let once = acme.assertion();
    let auth = ClientAuth::assertion(acme.client_id(), move || Ok(Secret::from(once.clone())));
    let flow = ClientCredentials::new(acme.token_url(), auth);
    flow.run(&transport).unwrap();
    refused(flow.run(&transport), ErrorKind::Refused, "invalid_client");
    let folder = Folder::new();
    let file = folder.join("assertion");
    let flow = ClientCredentials::new(acme.token_url(), ClientAuth::assertion_file(acme.client_id(), &file));
    for _ in 0..2 {
        folder.write("assertion", acme.assertion() + "\n");
        flow.run(&transport).unwrap();
    }
}

#[test]
fn introspection_tells_active_tokens_from_others() {
    let acme = Arc::new(AcmeSandbox::start());
    let transport = Transport::new();
    for (name, auth) in authentications(&acme) {
        let token = log_in(&acme, auth.clone());
        let introspect = Introspect::new(acme.introspection_url(), auth.clone());
        let (access, refresh) = (token.access_token(), token.refresh_token().unwrap());
        let answer = introspect.run(&transport, access).unwrap();
        assert!(answer.is_active(), "{name}");
        let texts =
            [answer.scope(), answer.client_id(), answer.username(), answer.issuer(), answer.token_type()];
        let issuer = acme.issuer();
        let expected = ["things.read", acme.client_id(), acme.username(), &issuer, "Bearer"];
        assert_eq!(texts, expected.map(Some), "{name}");
        let lifetime = answer.expires_at().unwrap().duration_since(answer.issued_at().unwrap()).unwrap();
        assert_eq!(lifetime.as_secs(), 3600);
        assert!(introspect.run(&transport, refresh).unwrap().is_active(), "{name}");
        Revoke::new(acme.revocation_url(), auth).run(&transport, access).unwrap();
        for token in [access, refresh, &Secret::from("unknown")] {
            assert!(!introspect.run(&transport, token).unwrap().is_active(), "{name}");
        }
    }
    let wrong = ClientAuth::secret_basic(acme.client_id(), "wrong");
    let introspect = Introspect::new(acme.introspection_url(), wrong);
    refused(introspect.run(&transport, &Secret::from("x")), ErrorKind::Refused, "invalid_client");

    let service = service(&acme).client_credentials(auth(&acme)).build().unwrap();
    service.source().token(Duration::ZERO).unwrap();
    assert!(service.introspect().unwrap().is_active());
}
