//! Acme as data: client credentials with a plain secret, and an API key in a header of each request.

use keyfob::{ClientAuth, Definition, Setting};

pub static ACME: Definition = Definition {
    title: "Acme",
    about: "everything for the coyote",
    token_url: "https://login.acme.example/token",
    settings: &[
        Setting::API_URL,
        Setting::TOKEN_URL,
        Setting::secret("api_key", |builder, key| builder.header("x-api-key", key)).required(),
    ],
    ..Definition::new("acme", "https://api.acme.example", |builder, id, secret| {
        builder.client_credentials(ClientAuth::secret_post(id, secret)).scope("anvils.read")
    })
};
