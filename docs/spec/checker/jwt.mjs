// JSON Web Tokens, read strictly (tokens.md). Nothing here is known to be authentic yet.

import { Malformed, Unknown } from "./malformed.mjs";
import { decodeBase64url, isAscii, MOST_CHARACTERS } from "./opaque.mjs";
import { parseObject } from "./strict_json.mjs";

const KINDS = { "at+jwt": "ACCESS", "rolling+jwt": "ROLLING" };
const ALGORITHMS = ["EdDSA", "ES256", "RS256", "PS256", "HS256"];
const LAST_SECOND = 253402300799n;

const KID = /^[A-Za-z0-9._-]{1,64}$/;
const NAME = /^[!-~]{1,255}$/;
const TOKEN_ID = /^[!-~]{1,128}$/;
const CLIENT_ID = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const SESSION_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const SCOPES = /^[!#-\[\]-~]+( [!#-\[\]-~]+)*$/;
const WORD = /^[!-~]{1,64}$/;
const DEVICE = /^[^\u0000-\u001f\u007f-\u009f\ud800-\udfff]{1,128}$/u;

export function parseJwt(token, issuer) {
  if (token.length > MOST_CHARACTERS || !isAscii(token)) throw new Malformed("too long");
  const parts = token.split(".");
  if (parts.length !== 3) throw new Malformed("not three parts");
  const [head, body, signature] = parts;
  const { kid, alg, kind } = readHeader(head);
  const claims = parseObject(decodeBase64url(body));
  if (text(claims, "iss", NAME) !== issuer) throw new Unknown("foreign issuer");
  const facts = readClaims(claims, kind, kid);
  const exchange = readExchange(claims, kind);
  const signatureBytes = decodeBase64url(signature);
  if (signatureBytes.length === 0) throw new Malformed("no signature");
  const signed = Buffer.from(`${head}.${body}`);
  return { kid, alg, facts, exchange, signed, signature: signatureBytes };
}

function readHeader(encoded) {
  if (encoded.length > 256) throw new Malformed("header too long");
  const members = parseObject(decodeBase64url(encoded));
  const [alg, kid, typ] = ["alg", "kid", "typ"].map((name) => members.get(name));
  if (members.size !== 3 || !ALGORITHMS.includes(alg)) throw new Malformed("header");
  if (typeof typ !== "string" || !Object.hasOwn(KINDS, typ)) throw new Malformed("typ");
  if (typeof kid !== "string" || !KID.test(kid)) throw new Malformed("kid");
  return { kid, alg, kind: KINDS[typ] };
}

function readClaims(claims, kind, kid) {
  const issuedAt = integer(claims, "iat", LAST_SECOND);
  const expiresAt = integer(claims, "exp", LAST_SECOND);
  if (expiresAt <= issuedAt) throw new Malformed("expires before it was issued");
  return {
    kind,
    subject: text(claims, "sub", NAME),
    client_id: text(claims, "client_id", CLIENT_ID),
    session_id: text(claims, "sid", SESSION_ID),
    device_id: claims.has("dev") ? text(claims, "dev", DEVICE) : "",
    audience: text(claims, "aud", NAME),
    scopes: readScopes(claims.get("scope")),
    roles: claims.has("roles") ? words(claims, "roles", 64) : [],
    issued_at: Number(issuedAt),
    expires_at: Number(expiresAt),
    auth_time: Number(integer(claims, "auth_time", LAST_SECOND)),
    acr: text(claims, "acr", WORD),
    amr: words(claims, "amr", 8),
    token_id: text(claims, "jti", TOKEN_ID),
    key_id: kid,
    rev: String(integer(claims, "rev", 2n ** 63n - 1n)),
    confirmation: readConfirmation(claims),
  };
}

function readExchange(claims, kind) {
  if (kind === "ROLLING") return bytes(claims.get("xt"), 44);
  if (claims.has("xt")) throw new Malformed("an access token has no xt");
  return null;
}

function readConfirmation(claims) {
  if (!claims.has("cnf")) return "";
  const cnf = claims.get("cnf");
  if (!(cnf instanceof Map) || cnf.size !== 1) throw new Malformed("cnf");
  return bytes(cnf.get("x5t#S256"), 32);
}

function readScopes(value) {
  if (value === "") return [];
  if (typeof value !== "string" || !SCOPES.test(value)) throw new Malformed("scope");
  const names = value.split(" ");
  const ascending = names.every((name, index) => index === 0 || names[index - 1] < name);
  if (names.length > 64 || !ascending) throw new Malformed("scope");
  return names;
}

function text(claims, name, pattern) {
  const value = claims.get(name);
  if (typeof value !== "string" || !pattern.test(value)) throw new Malformed(name);
  return value;
}

function integer(claims, name, most) {
  const value = claims.get(name);
  if (typeof value !== "bigint" || value < 0n || value > most) throw new Malformed(name);
  return value;
}

function words(claims, name, most) {
  const value = claims.get(name);
  const good = (word) => typeof word === "string" && WORD.test(word);
  if (!Array.isArray(value) || value.length > most || !value.every(good)) throw new Malformed(name);
  if (new Set(value).size !== value.length) throw new Malformed(name);
  return value;
}

function bytes(value, length) {
  if (typeof value !== "string") throw new Malformed("not text");
  const decoded = decodeBase64url(value);
  if (decoded.length !== length) throw new Malformed("wrong length");
  return decoded.toString("hex");
}
