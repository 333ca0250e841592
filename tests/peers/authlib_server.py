"""Authlib's authorization server, with a memory of its own. The rules are Authlib's: the classes here store and find things."""

import base64
import json
import logging
import os
import re
import secrets
import signal
import sys
import threading
import time
from types import SimpleNamespace

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector, current_token
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749 import ClientMixin, InvalidGrantError, TokenMixin, grants, list_to_scope
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion, JWTBearerGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from authlib.oauth2.rfc8628 import DEVICE_CODE_GRANT_TYPE, DeviceAuthorizationEndpoint, DeviceCodeGrant, DeviceCredentialDict
from authlib.oauth2.rfc9207 import IssuerParameter
from flask import Flask, request
from joserfc.jwk import ECKey, OctKey
from werkzeug.serving import make_server

signal.alarm(600)
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
logging.getLogger("werkzeug").setLevel(logging.ERROR)

SCOPES = ["locations.readonly", "offline_access"]
METHODS = ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"]
# Authlib has one name for both methods that sign a JWT.
AUTHLIB_CONFIDENTIAL = ["client_secret_basic", "client_secret_post", "client_assertion_jwt"]
AUTHLIB_METHODS = [*AUTHLIB_CONFIDENTIAL, "none"]
REDIRECT_URIS = ["http://127.0.0.1/callback", "http://[::1]/callback"]
USER = "ada"

tokens, codes, devices, decisions, used = [], {}, {}, {}, set()


class Client(ClientMixin):
    def __init__(self, method):
        self.method = method
        self.client_id = f"{method}-{secrets.token_hex(8)}"
        # The punctuation tells form-encoded from raw HTTP Basic (RFC 6749 2.3.1).
        has_secret = method.startswith("client_secret")
        self.client_secret = f"{secrets.token_urlsafe(24)}+/%:&={secrets.token_urlsafe(8)}" if has_secret else None
        self.key = None if has_secret else ECKey.generate_key("P-256")

    def get_client_id(self):
        return self.client_id

    def get_default_redirect_uri(self):
        return None

    def get_allowed_scope(self, scope):
        return list_to_scope([one for one in (scope or "").split() if one in SCOPES])

    def check_redirect_uri(self, uri):
        # The port is the client's to choose (RFC 8252 7.3).
        return re.sub(r":\d+/", "/", uri) in REDIRECT_URIS

    def check_client_secret(self, secret):
        return self.client_secret is not None and secrets.compare_digest(self.client_secret.encode(), secret.encode())

    def check_endpoint_auth_method(self, method, endpoint):
        return method == ("client_assertion_jwt" if self.method.endswith("_jwt") else self.method)

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return grant_type != "client_credentials" or self.method != "none"


class Token(TokenMixin):
    def __init__(self, client, user, data):
        self.client, self.user, self.data, self.issued_at, self.revoked = client, user, data, int(time.time()), False

    def check_client(self, client):
        return self.client is client

    def get_scope(self):
        return self.data.get("scope", "")

    def get_expires_in(self):
        return self.data["expires_in"]

    def is_expired(self):
        return self.issued_at + self.data["expires_in"] < time.time()

    def is_revoked(self):
        return self.revoked

    def get_user(self):
        return self.user

    def get_client(self):
        return self.client


def find_token(value, hint=None):
    kinds = [hint] if hint else ["access_token", "refresh_token"]
    return next((token for token in tokens for kind in kinds if token.data.get(kind) == value), None)


class Found:
    """How the endpoints for a token find it."""

    CLIENT_AUTH_METHODS = AUTHLIB_METHODS

    def query_token(self, value, hint):
        return find_token(value, hint)


class Revocation(Found, RevocationEndpoint):
    def revoke_token(self, token, request):
        token.revoked = True


class Introspection(Found, IntrospectionEndpoint):
    CLIENT_AUTH_METHODS = AUTHLIB_CONFIDENTIAL

    def check_permission(self, token, client, request):
        return token.check_client(client)

    def introspect_token(self, token):
        return {
            "client_id": token.client.client_id,
            "token_type": "Bearer",
            "scope": token.get_scope(),
            "sub": token.user or token.client.client_id,
            "iss": issuer,
            "iat": token.issued_at,
            "exp": token.issued_at + token.get_expires_in(),
        }


class ApiToken(BearerTokenValidator):
    def authenticate_token(self, value):
        return find_token(value, "access_token")


class ClientCredentials(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTHLIB_CONFIDENTIAL


class Code(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTHLIB_METHODS

    def save_authorization_code(self, code, request):
        data = request.payload.data
        codes[code] = SimpleNamespace(
            code=code,
            client=request.client,
            user=request.user,
            get_redirect_uri=lambda: request.payload.redirect_uri,
            get_scope=lambda: request.scope,
            code_challenge=data.get("code_challenge"),
            code_challenge_method=data.get("code_challenge_method"),
        )

    def query_authorization_code(self, code, client):
        found = codes.get(code)
        return found if found and found.client is client else None

    def delete_authorization_code(self, code):
        del codes[code.code]

    def authenticate_user(self, code):
        return code.user


class Refresh(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTHLIB_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, value):
        token = find_token(value, "refresh_token")
        return token if token and not token.revoked else None

    def authenticate_user(self, token):
        return token.user

    def revoke_old_credential(self, token):
        token.revoked = True


class DeviceAuthorization(DeviceAuthorizationEndpoint):
    CLIENT_AUTH_METHODS = AUTHLIB_METHODS
    EXPIRES_IN = int(os.environ.get("DEVICE_EXPIRES_IN", "600"))
    INTERVAL = 1

    def get_verification_uri(self):
        return f"{issuer}/device"

    def save_device_credential(self, client_id, scope, data):
        expires_at = time.time() + self.EXPIRES_IN
        device = {**data, "client_id": client_id, "scope": scope, "expires_at": expires_at, "polled_at": 0}
        devices[data["device_code"]] = DeviceCredentialDict(device)


class Device(DeviceCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTHLIB_METHODS

    def query_device_credential(self, device_code):
        return devices.get(device_code)

    def query_user_grant(self, user_code):
        return decisions.get(user_code)

    def should_slow_down(self, device):
        before, device["polled_at"] = device["polled_at"], time.time()
        return time.time() - before < device["interval"]

    def create_token_response(self):
        del devices[self.request.credential["device_code"]]
        return super().create_token_response()


class SignedGrant(JWTBearerGrant):
    def get_audiences(self):
        return [issuer]

    def resolve_issuer_client(self, issuer):
        return clients.get(issuer)

    def resolve_client_public_key(self, client):
        return client.key

    def authenticate_user(self, subject):
        return subject if subject == USER else None

    def has_granted_permission(self, client, user):
        return True


class TokenExchange(grants.BaseGrant, grants.TokenEndpointMixin):
    """RFC 8693 for the access tokens of this server, as a grant of one's own, because Authlib has none for it."""

    GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
    TOKEN_ENDPOINT_AUTH_METHODS = AUTHLIB_CONFIDENTIAL
    ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"

    def validate_token_request(self):
        self.request.client = self.authenticate_token_endpoint_client()
        form = self.request.form
        subject = find_token(form.get("subject_token"), "access_token")
        if form.get("subject_token_type") != self.ACCESS_TOKEN or subject is None or subject.revoked:
            raise InvalidGrantError("the subject token is unknown")
        self.request.user = subject.user

    def create_token_response(self):
        token = self.generate_token(scope=self.request.payload.scope, include_refresh_token=False)
        token["issued_token_type"] = self.ACCESS_TOKEN
        self.save_token(token)
        return 200, token, self.TOKEN_RESPONSE_HEADER


class Assertion(JWTBearerClientAssertion):
    def get_audiences(self):
        return [issuer, *endpoints.values()]

    def validate_jti(self, claims, jti):
        is_new = jti not in used
        used.add(jti)
        return is_new

    def resolve_client_public_key(self, client):
        return client.key or OctKey.import_key(client.client_secret)


class Issuer(IssuerParameter):
    def get_issuer(self):
        return issuer


app = Flask(__name__)
app.config.update(OAUTH2_SCOPES_SUPPORTED=SCOPES, OAUTH2_REFRESH_TOKEN_GENERATOR=True, OAUTH2_TOKEN_EXPIRES_IN={"client_credentials": 600})
http = make_server("127.0.0.1", 0, app, threaded=True)
origin = f"http://127.0.0.1:{http.server_port}"
# The path shows where a client looks for the metadata (RFC 8414 3).
issuer = f"{origin}/acme"
endpoints = {
    "authorization_endpoint": f"{issuer}/authorize",
    "token_endpoint": f"{issuer}/token",
    "device_authorization_endpoint": f"{issuer}/device_authorization",
    "introspection_endpoint": f"{issuer}/introspect",
    "revocation_endpoint": f"{issuer}/revoke",
}
clients = {client.client_id: client for client in map(Client, METHODS)}
server = AuthorizationServer(app, clients.get, lambda token, request: tokens.append(Token(request.client, request.user, token)))
server.register_client_auth_method(Assertion.CLIENT_AUTH_METHOD, Assertion())
server.register_grant(Code, [CodeChallenge(required=True)])
server.register_extension(Issuer())
for grant in (ClientCredentials, Refresh, Device, SignedGrant, TokenExchange):
    server.register_grant(grant)

metadata = AuthorizationServerMetadata(
    issuer=issuer,
    **endpoints,
    response_types_supported=["code"],
    grant_types_supported=["authorization_code", "client_credentials", "refresh_token", DEVICE_CODE_GRANT_TYPE, SignedGrant.GRANT_TYPE, TokenExchange.GRANT_TYPE],
    token_endpoint_auth_methods_supported=METHODS,
    token_endpoint_auth_signing_alg_values_supported=["HS256", "ES256"],
    code_challenge_methods_supported=["S256"],
    authorization_response_iss_parameter_supported=True,
)
metadata.validate()


@app.after_request
def log(response):
    """One line for each request: the names of its parameters in their order, and the status of the answer."""
    names = [*request.args, *request.form]
    print("request:", request.method, request.path, *names, response.status_code, file=sys.stderr, flush=True)
    if response.status_code >= 400:
        print(response.get_data(as_text=True), file=sys.stderr, flush=True)
    return response


@app.get(get_well_known_url(issuer))
def well_known():
    return metadata


PAGE = '<form method="post" action=""><button name="abort" value="yes">Deny</button><button>Allow</button></form>'


@app.route("/acme/authorize", methods=["GET", "POST"])
def authorize():
    try:
        grant = server.get_consent_grant(end_user=USER)
    except OAuth2Error as error:
        return server.handle_error_response(None, error)
    if request.method == "GET":
        return PAGE
    return server.create_authorization_response(grant_user=None if "abort" in request.form else USER, grant=grant)


@app.route("/acme/device", methods=["GET", "POST"])
def device():
    if request.method == "GET":
        return PAGE
    decisions[request.args["user_code"]] = (USER, "abort" not in request.form)
    return "You can close this page"


@app.post("/acme/token")
def token():
    return server.create_token_response()


def serve(path, endpoint):
    server.register_endpoint(endpoint)
    app.add_url_rule(path, endpoint.ENDPOINT_NAME, lambda: server.create_endpoint_response(endpoint.ENDPOINT_NAME), methods=["POST"])


serve("/acme/device_authorization", DeviceAuthorization)
serve("/acme/introspect", Introspection)
serve("/acme/revoke", Revocation)
protect = ResourceProtector()
protect.register_token_validator(ApiToken())


@app.get("/acme/api")
@protect("locations.readonly")
def api():
    return {"sub": current_token.user or current_token.client.client_id}


threading.Thread(target=http.serve_forever, daemon=True).start()
named = {}
for client in clients.values():
    named[client.method] = {"client_id": client.client_id, "client_secret": client.client_secret}
    if client.key:
        named[client.method]["private_key"] = base64.b64encode(client.key.as_der(private=True)).decode()
print(json.dumps({"issuer": issuer, **endpoints, "api": f"{issuer}/api", "redirect_uris": REDIRECT_URIS, "clients": named}), flush=True)
sys.stdin.read()
