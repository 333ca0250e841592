use super::*;

fn flow(redirect_uri: &str) -> AuthorizationCode {
    let client = ClientAuth::secret_post("id", "s3cr3t");
    AuthorizationCode::new("http://127.0.0.1:1/a", "http://127.0.0.1:1/t", client, redirect_uri)
}

fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    url.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn challenge_matches_the_example_of_rfc_7636_appendix_b() {
    let verifier = Secret::from("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    assert_eq!(challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

#[test]
fn login_url_has_the_documented_parameters() {
    let flow = flow("http://localhost/c?d=e");
    let login = flow.clone().with_scope("a.readonly b").start(&Transport::new()).unwrap();
    let (state, challenge) =
        (parameter(login.url(), "state").unwrap(), parameter(login.url(), "code_challenge").unwrap());
    let documented = "http://127.0.0.1:1/a?client_id=id&redirect_uri=http%3A%2F%2Flocalhost%2Fc%3Fd%3De\
                      &response_type=code&scope=a.readonly%20b";
    assert_eq!(
        login.url(),
        format!("{documented}&state={state}&code_challenge={challenge}&code_challenge_method=S256")
    );
    assert_eq!((state.len(), challenge.len()), (43, 43));
    let bare =
        flow.without_state().without_pkce().with_scope("a.readonly b").start(&Transport::new()).unwrap();
    assert_eq!(bare.url(), documented);
}

#[test]
fn query_of_the_authorize_url_is_kept() {
    let client = ClientAuth::none("id");
    let flow = AuthorizationCode::new("http://[::1]/a?tenant=x", "http://[::1]/t", client, "app:/cb");
    let login = flow.without_state().without_pkce().start(&Transport::new()).unwrap();
    assert_eq!(
        login.url(),
        "http://[::1]/a?tenant=x&client_id=id&redirect_uri=app%3A%2Fcb&response_type=code"
    );
}

#[test]
fn state_and_verifier_are_fresh_for_each_login() {
    let flow = flow("http://localhost/c");
    let mut seen = std::collections::HashSet::new();
    for _ in 0..1_000 {
        let (url, login) = flow.start_checked(&Transport::new()).unwrap();
        let (state, verifier) = (login.state.as_ref().unwrap(), login.verifier.as_ref().unwrap());
        assert_eq!(parameter(&url, "state").unwrap().as_bytes(), state.expose());
        assert_eq!(parameter(&url, "code_challenge").unwrap(), challenge(verifier));
        assert!(seen.insert(state.expose().to_vec()) && seen.insert(verifier.expose().to_vec()));
    }
}

#[test]
fn debug_of_a_login_shows_no_secret_and_no_query() {
    let login = flow("http://localhost/c?d=e").start(&Transport::new()).unwrap();
    assert_eq!(
        format!("{login:?}"),
        "PendingLogin { grant: ExtensionGrant { token_url: Endpoint(http://127.0.0.1:1), auth: \
         ClientAuth::secret_post(\"id\"), grant_type: \"authorization_code\", scope: Scope([]), parameters: [], \
         is_repeatable: false }, .. }"
    );
}
