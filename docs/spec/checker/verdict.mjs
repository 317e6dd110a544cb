// From a presented string to an answer (verdict.md).

import { parseJwt } from "./jwt.mjs";
import { Malformed, Unknown } from "./malformed.mjs";
import { formOf, parseOpaque, readAccess } from "./opaque.mjs";
import { signedBy } from "./signatures.mjs";

const SKEW = 60;
const LEVELS = ["aal1", "aal2", "aal3"];
const MOST_SECONDS = 3660 * 86400;
const AUDIENCE = /^[!#-\[\]-~]{1,128}$/;
const SCOPE = /^[!#-\[\]-~]{1,64}$/;
const WITH_PRINCIPAL = ["ACTIVE", "INSUFFICIENT_SCOPE", "STEP_UP_REQUIRED"];

/** Whether a requirement may be asked for at all. */
export function requirementValid({ audience, scopes, max_auth_age: age, acr, confirmation }) {
  return (
    AUDIENCE.test(audience) &&
    scopes.length <= 64 &&
    scopes.every((scope) => SCOPE.test(scope)) &&
    (age === null || (age >= 0 && age <= MOST_SECONDS)) &&
    (acr === "" || LEVELS.includes(acr)) &&
    [0, 64].includes(confirmation.length) // hexadecimal
  );
}

/** Steps 1 to 18. Gives `{ask: true}` where only the server can answer. */
export function validate(token, { view, now, fresh }, requirement, minRevision) {
  const { form } = formOf(token);
  if (form === "malformed") return answer("MALFORMED", requirement);
  if (form !== "jwt" && form !== "opaque_access") return answer("WRONG_KIND", requirement);
  if (!fresh || BigInt(minRevision) > view.revision) return { ask: true };
  const found = authenticate(token, form, view);
  if (found.ask) return found;
  if (found.verdict) return answer(found.verdict, requirement);
  return answer(verdict(found.facts, view, requirement, now), requirement, found.facts);
}

/** Steps 3 to 8: the facts of an authentic token, a verdict, or the need to ask. */
export function authenticate(token, form, view) {
  let jwt, kid;
  try {
    if (form === "jwt") jwt = parseJwt(token, view.issuer);
    kid = jwt ? jwt.kid : readAccess(parseOpaque(token).payload).key_id;
  } catch (error) {
    if (error instanceof Malformed) return { verdict: "MALFORMED" };
    if (error instanceof Unknown) return { verdict: "UNKNOWN" };
    throw error;
  }
  const unverifiable = keyVerdict(kid, view);
  if (unverifiable) return { verdict: unverifiable };
  const key = view.keys.get(kid);
  if (!jwt) return key.server_only ? { ask: true } : { verdict: "UNKNOWN" };
  if (jwt.alg !== key.alg) return { verdict: "UNKNOWN" };
  if (key.server_only) return { ask: true };
  return signedBy(key, jwt.signed, jwt.signature) ? { facts: jwt.facts } : { verdict: "UNKNOWN" };
}

/** Steps 9 to 18. */
export function verdict(facts, view, requirement, now) {
  if (facts.kind !== "ACCESS" && facts.kind !== "ROLLING") return "WRONG_KIND";
  const unverifiable = keyVerdict(facts.key_id, view);
  if (unverifiable) return unverifiable;
  if (facts.audience !== requirement.audience) return "WRONG_AUDIENCE";
  if (facts.confirmation !== "" && facts.confirmation !== requirement.confirmation) {
    return "BINDING_MISMATCH";
  }
  if (!(now < facts.expires_at)) return "EXPIRED";
  if (!(facts.issued_at <= now + SKEW)) return "UNKNOWN";
  const effect = view.status(facts);
  if (effect !== "") return effect === "REVOKE" ? "REVOKED" : "EXPIRED";
  if (!requirement.scopes.every((scope) => facts.scopes.includes(scope))) return "INSUFFICIENT_SCOPE";
  return recentEnough(facts, requirement, now) && strongEnough(facts.acr, requirement.acr)
    ? "ACTIVE"
    : "STEP_UP_REQUIRED";
}

function keyVerdict(kid, view) {
  if (view.verifiable(kid)) return "";
  return view.keyRevoked(kid) ? "REVOKED" : "UNKNOWN";
}

function recentEnough(facts, { max_auth_age: most }, now) {
  const age = now - facts.auth_time;
  return most === null || (-SKEW <= age && age <= most);
}

function strongEnough(actual, demanded) {
  return demanded === "" || LEVELS.indexOf(actual) >= LEVELS.indexOf(demanded);
}

/** The answer over HTTP. */
export function answer(decided, requirement, facts) {
  const [status, header] = overHttp(decided, requirement);
  const subject = WITH_PRINCIPAL.includes(decided) && facts ? facts.subject : "";
  return { verdict: decided, http_status: status, www_authenticate: header, subject };
}

function overHttp(decided, { scopes, max_auth_age: age, acr }) {
  const parameters = [];
  switch (decided) {
    case "ACTIVE":
      return [200, ""];
    case "INSUFFICIENT_SCOPE":
      return [403, `Bearer error="insufficient_scope", scope="${[...scopes].sort().join(" ")}"`];
    case "STEP_UP_REQUIRED":
      if (age !== null) parameters.push(`, max_age="${Math.floor(age)}"`);
      if (acr !== "") parameters.push(`, acr_values="${acr}"`);
      return [401, `Bearer error="insufficient_user_authentication"${parameters.join("")}`];
    default:
      return [401, 'Bearer error="invalid_token"'];
  }
}
