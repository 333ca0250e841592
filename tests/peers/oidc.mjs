import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { IncomingMessage, createServer } from 'node:http';
import { createLocalJWKSet, jwtVerify } from 'jose';
import Provider, { errors } from 'oidc-provider';
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
  grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
  // Two, so that a token request without redirect_uri is refused; the port is the client's to choose.
  redirect_uris: ['http://127.0.0.1/callback', 'http://[::1]/callback'],
};
const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange';
const bearer = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const both = { ...login, grant_types: ['client_credentials', exchange, ...login.grant_types] };
const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const keys = { private_key_jwt: pair(), none: pair() };
const withKey = (method, metadata) => ({
  ...client(method, metadata),
  client_secret: undefined,
  jwks: { keys: [keys[method].publicKey.export({ format: 'jwk' })] },
});
const clients = [
  client('client_secret_jwt', { ...both, token_endpoint_auth_signing_alg: 'HS256' }),
  client('client_secret_basic', both),
  client('client_secret_post', both),
  withKey('private_key_jwt', both),
  withKey('none', { ...login, grant_types: [bearer, ...login.grant_types] }),
];

// The only resource for which there are tokens (RFC 8707).
const resource = 'https://api.example.com';

const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
// With a path, so that OpenID Connect alone says where its metadata is: nothing answers at the URL of RFC 8414.
const path = '/op';
const issuer = `http://127.0.0.1:${server.address().port}${path}`;

const provider = new Provider(issuer, {
  clients,
  cookies: { keys: [randomBytes(32).toString('hex')] },
  features: {
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    devInteractions: { enabled: true },
    introspection: { enabled: true },
    resourceIndicators: {
      getResourceServerInfo: (ctx, indicator) => {
        if (indicator !== resource) throw new errors.InvalidTarget();
        return { scope: 'locations.readonly', audience: resource, accessTokenFormat: 'opaque', accessTokenTTL: 120 };
      },
    },
    revocation: { enabled: true },
  },
  findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  issueRefreshToken: async () => true,
  pkce: { required: () => true },
  rotateRefreshToken: process.env.ROTATE === '1',
  scopes: ['openid', 'offline_access', 'locations.readonly', 'resources'],
  ttl: { DeviceCode: Number(process.env.DEVICE_EXPIRES_IN ?? 600) },
});
// RFC 8693 for the access tokens of this server, as a grant of one's own, because oidc-provider has none for it.
const accessToken = 'urn:ietf:params:oauth:token-type:access_token';
provider.registerGrantType(exchange, async (ctx) => {
  const { client, params } = ctx.oidc;
  const subject = params.subject_token_type === accessToken && (await provider.ClientCredentials.find(params.subject_token));
  if (!subject) throw new errors.InvalidGrant('the subject token is unknown');
  const token = new provider.ClientCredentials({ client, scope: params.scope });
  ctx.oidc.entity('ClientCredentials', token);
  const { expiration, scope } = token;
  ctx.body = { access_token: await token.save(), issued_token_type: accessToken, token_type: 'Bearer', expires_in: expiration, scope };
}, ['scope', 'subject_token', 'subject_token_type']);
// RFC 7523 2.1 for a client that signs with its own key, as a grant of one's own, because oidc-provider has none for it.
const user = 'ada';
provider.registerGrantType(bearer, async (ctx) => {
  const { client, params } = ctx.oidc;
  const rules = { algorithms: ['ES256'], audience: issuer, issuer: client.clientId, requiredClaims: ['exp'], subject: user };
  await jwtVerify(String(params.assertion), createLocalJWKSet(client.jwks), rules).catch((error) => {
    throw new errors.InvalidGrant(error.message);
  });
  const grant = new provider.Grant({ accountId: user, clientId: client.clientId });
  if (params.scope) grant.addOIDCScope(params.scope);
  const token = new provider.AccessToken({ accountId: user, client, grantId: await grant.save(), gty: bearer, scope: params.scope });
  ctx.oidc.entity('AccessToken', token);
  const { expiration, scope } = token;
  ctx.body = { access_token: await token.save(), token_type: 'Bearer', expires_in: expiration, scope };
}, ['assertion', 'scope']);
// An API for the tokens of programs and of persons. `/me` is for persons alone.
const api = async (request, response) => {
  const value = /^Bearer (\S+)$/.exec(request.headers.authorization)?.[1];
  const token = await provider.ClientCredentials.find(value) ?? await provider.AccessToken.find(value);
  // RFC 6750 3.1.
  const answer = (status, body, challenge = {}) => response.writeHead(status, { 'content-type': 'application/json', ...challenge }).end(JSON.stringify(body));
  const refuse = (status, error) => answer(status, { error }, { 'www-authenticate': `Bearer error="${error}"` });
  if (!token?.isValid) return refuse(401, 'invalid_token');
  if (!token.scopes.has('locations.readonly')) return refuse(403, 'insufficient_scope');
  return answer(200, { sub: token.accountId ?? token.clientId });
};
// The answer says only `invalid_client` or `invalid_grant`: the reason behind it is for the person who reads a failed test.
for (const event of ['authorization.error', 'device_authorization.error', 'grant.error', 'introspection.error', 'revocation.error', 'server_error']) {
  provider.on(event, (ctx, error) => console.error(`${event}: ${error.message}: ${error.error_detail ?? error.error_description ?? error.stack}`));
}
const serve = provider.callback();
server.on('request', (request, response) => {
  // One line for each request: the names of its parameters as they were sent, and the status of the answer.
  let form = '';
  request.push = (chunk, ...rest) => {
    form += chunk ?? '';
    return IncomingMessage.prototype.push.call(request, chunk, ...rest);
  };
  const { pathname, searchParams } = new URL(request.url, issuer);
  response.on('finish', () => {
    const names = [searchParams, new URLSearchParams(form)].flatMap((parameters) => [...parameters.keys()]);
    console.error('request:', request.method, pathname, ...names, response.statusCode);
  });

  request.originalUrl = request.url;
  if (!request.url.startsWith(`${path}/`)) return response.writeHead(404).end();
  if (pathname === `${path}/api`) return api(request, response);
  request.url = request.url.slice(path.length);
  return serve(request, response);
});

console.log(JSON.stringify({
  issuer,
  authorization_endpoint: `${issuer}/auth`,
  token_endpoint: `${issuer}/token`,
  device_authorization_endpoint: `${issuer}/device/auth`,
  introspection_endpoint: `${issuer}/token/introspection`,
  revocation_endpoint: `${issuer}/token/revocation`,
  userinfo: `${issuer}/me`,
  api: `${issuer}/api`,
  resource,
  redirect_uris: login.redirect_uris,
  clients: Object.fromEntries(clients.map((c) => [c.token_endpoint_auth_method, {
    client_id: c.client_id,
    client_secret: c.client_secret,
    private_key: keys[c.token_endpoint_auth_method]?.privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64'),
  }])),
}));
