// A real OpenID Connect provider (npm oidc-provider), in the place of a Keycloak, for tests: node provider.mjs SETTINGS.json
// Settings: host, port, certificate, key (files; it speaks https), signing_keys (private JWKs), algorithm, ttl_s, and clients: id, secret, and
// the claims of their tokens. It makes no keys itself: in Node 20 exporting one that was just made can wait for itself without end.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { Provider } from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2]));
const issuer = `https://${settings.host}:${settings.port}`;

const claimsOf = new Map(settings.clients.map(({ id, claims }) => [id, claims]));
const provider = new Provider(issuer, {
  clients: settings.clients.map(({ id, secret }) => ({
    client_id: id, client_secret: secret, grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
  })),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:muster',
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        scope: '', audience: resource.replace(/^urn:/, ''), accessTokenFormat: 'jwt', accessTokenTTL: settings.ttl_s,
        jwt: { sign: { alg: settings.algorithm } },
      }),
    },
  },
  extraTokenClaims: (_, token) => claimsOf.get(token.clientId),
  jwks: { keys: settings.signing_keys },
  cookies: { keys: [randomBytes(16).toString('hex')] },
});

https.createServer({ cert: readFileSync(settings.certificate), key: readFileSync(settings.key) }, provider.callback())
  .listen(settings.port, settings.host, () => console.log(`ready ${issuer}`));
