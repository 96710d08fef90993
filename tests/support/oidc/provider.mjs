// A real OpenID Connect provider, whose people and their claims come from the environment. It signs in whoever says a name.
import fs from "node:fs";
import https from "node:https";
import Provider from "oidc-provider";

const port = Number(process.env.PORT);
const people = () => JSON.parse(fs.readFileSync(process.env.PEOPLE_FILE)); // read each time: tests change what it says
const { CERTIFICATE: certificate, CERTIFICATE_KEY: key } = process.env;
const issuer = `${certificate ? "https" : "http"}://127.0.0.1:${port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "tidegate",
      client_secret: process.env.CLIENT_SECRET,
      redirect_uris: ["http://localhost/login/oidc/callback"],
      token_endpoint_auth_method: "client_secret_basic",
      grant_types: ["authorization_code", "refresh_token"],
    },
  ],
  scopes: ["openid", "offline_access", "groups"],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"], groups: ["groups"] },
  conformIdTokenClaims: true, // claims beside `sub` come from the userinfo endpoint, as with many providers
  findAccount: (_, id) => people()[id] && { accountId: id, claims: () => ({ sub: id, ...people()[id] }) },
  issueRefreshToken: async () => process.env.REFRESH === "yes",
  pkce: { required: () => true },
  cookies: { keys: ["of no worth"] },
});
// Tests serve the web app on whatever port is free.
provider.Client.prototype.redirectUriAllowed = () => true;

if (certificate) {
  const shown = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) };
  https.createServer(shown, provider.callback()).listen(port, "127.0.0.1");
} else {
  provider.listen(port, "127.0.0.1");
}
