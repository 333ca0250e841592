import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';
import { endWithStdin } from './lifetime.mjs';

// Standard output is for the one JSON line: oidc-provider's notices go where its warnings go.
console.info = console.error;

endWithStdin();

// The punctuation tells form-encoded from raw HTTP Basic (RFC 6749 2.3.1).
const secret = () => `${randomBytes(24).toString('base64url')} +/%:&=${randomBytes(8).toString('base64url')}`;
const client = (token_endpoint_auth_method, metadata) => ({
  client_id: `${token_endpoint_auth_method}-${randomBytes(8).toString('hex')}`,
  client_secret: secret(),
  token_endpoint_auth_method,
  ...metadata,
});
const login = {
  application_type: 'native',
  grant_types: ['authorization_code', 'refresh_token'],
  // Two, so that a token request without redirect_uri is refused; the port is the client's to choose.
  redirect_uris: ['http://127.0.0.1/callback', 'http://[::1]/callback'],
};
const clients = [
  client('client_secret_jwt', {
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_signing_alg: 'HS256',
  }),
  client('client_secret_basic', login),
  client('client_secret_post', login),
];

const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients,
  cookies: { keys: [randomBytes(32).toString('hex')] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    revocation: { enabled: true },
  },
  findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  issueRefreshToken: async () => true,
  pkce: { required: () => true },
  rotateRefreshToken: process.env.ROTATE === '1',
  scopes: ['openid', 'offline_access', 'locations.readonly', 'resources'],
});
// The answer says only `invalid_client` or `invalid_grant`: the reason behind it is for the person who reads a failed test.
for (const event of ['authorization.error', 'grant.error', 'revocation.error', 'server_error']) {
  provider.on(event, (ctx, error) => console.error(`${event}: ${error.message}: ${error.error_detail ?? error.error_description ?? error.stack}`));
}
server.on('request', provider.callback());

console.log(JSON.stringify({
  issuer,
  authorization_endpoint: `${issuer}/auth`,
  token_endpoint: `${issuer}/token`,
  revocation_endpoint: `${issuer}/token/revocation`,
  redirect_uris: login.redirect_uris,
  clients: Object.fromEntries(clients.map((c) => [c.token_endpoint_auth_method, { client_id: c.client_id, client_secret: c.client_secret }])),
}));
