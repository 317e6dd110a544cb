// Runs the vectors through an implementation of this specification, in Node alone.
//
//   node docs/spec/check_vectors.mjs [FOLDER]
//
// The implementation in checker/ was written from the text of these pages and shares no code with
// the Python packages. Exits with 1 when a case does not hold, and prints it.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";

import { Clock } from "./checker/clock.mjs";
import * as derived from "./checker/derived.mjs";
import { Feed } from "./checker/feed.mjs";
import { parseJwt } from "./checker/jwt.mjs";
import { Malformed, Unknown } from "./checker/malformed.mjs";
import * as opaque from "./checker/opaque.mjs";
import { check, Refused, View } from "./checker/trust.mjs";
import { answer, authenticate, requirementValid, validate, verdict } from "./checker/verdict.mjs";

const MICROSECOND = 1e-6;

/** For each file: its sections, and what gives the found value of a case in them. */
const SUBJECTS = {
  "opaque.json": { cases: readOpaque, macs: checkMac },
  "jwt.json": { cases: readJwt },
  "signatures.json": { cases: checkSignature },
  "trust.json": { cases: askTrust, refused_entries: refuseEntry },
  "clock.json": { cases: runClock },
  "feed.json": { cases: runFeed },
  "verdict.json": { cases: judge, refused_requirements: refuseRequirement },
  "validate.json": { cases: goTheWholeWay },
  "derived.json": {
    keys: derived.derivedKey,
    exchange_ids: ({ key, token }) => derived.exchangeId(key, token),
    fingerprints: derived.fingerprint,
    authorizations: derived.basicAuthorization,
    pairing_codes: ({ text }) => derived.readPairingCode(text),
  },
};

function readOpaque({ text }) {
  const found = opaque.formOf(text);
  if (found.form === "malformed" || found.form === "jwt") return found;
  const { code, payload } = opaque.parseOpaque(text);
  Object.assign(found, { code, payload: payload.toString("hex") });
  if (found.form === "session") found.session = opaque.readSession(payload);
  if (found.form === "opaque_access") found.access = opaque.readAccess(payload);
  return found;
}

function checkMac({ code, payload, key }) {
  return opaque.macValid(code, Buffer.from(payload, "hex"), Buffer.from(key, "hex"));
}

function readJwt({ token }, { issuer }) {
  try {
    const { kid, alg, facts, exchange } = parseJwt(token, issuer);
    return { kid, alg, facts, exchange };
  } catch (error) {
    if (error instanceof Malformed) return "MALFORMED";
    if (error instanceof Unknown) return "UNKNOWN";
    throw error;
  }
}

function checkSignature(given, file) {
  const view = viewOf({ ...file.defaults, ...given }, file.issuer);
  const found = authenticate(given.token, opaque.formOf(given.token).form, view);
  return found.verdict ?? (found.ask ? "ask" : "authentic");
}

function askTrust({ entries, keys = [], drop_before: dropBefore, questions }, { defaults }) {
  const view = viewOf({ entries, keys });
  if (dropBefore !== undefined) view.drop(dropBefore);
  return questions.map(({ facts, kid }) => {
    if (kid === undefined) return view.status({ ...defaults.facts, ...facts });
    return view.verifiable(kid) ? "verifiable" : view.keyRevoked(kid) ? "revoked" : "unknown";
  });
}

function refuseEntry({ entry }) {
  try {
    check(entry);
    return "taken";
  } catch (error) {
    if (error instanceof Refused) return "refused";
    throw error;
  }
}

function runClock({ steps }) {
  const clock = new Clock();
  return steps.map((step) => {
    if (step.do === "sample") return clock.sample(step.server_time, step.sent_at, step.received_at);
    if (step.do === "witness") return clock.witness(step.server_time, step.received_at) ?? null;
    return {
      now: timeOf(clock.now(step.boot)),
      uncertainty: timeOf(clock.uncertaintyAt(step.boot)),
      settled: clock.settled(step.boot),
    };
  });
}

function runFeed({ steps }, { staleness_limit: limit }) {
  const feed = new Feed();
  return steps.map((step) => {
    if (step.do === "begin") return feed.begin(step.boot);
    if (step.do === "message") return feed.take(step.message, step.boot);
    return {
      epoch: feed.view.epoch,
      revision: String(feed.view.revision),
      fresh: feed.view.fresh(step.boot, limit),
      age: timeOf(step.boot - feed.view.readAt),
      now: timeOf(feed.clock.now(step.boot)),
      keys: [...feed.view.keys.keys()].sort(),
      entries: feed.view.entries.map((entry) => entry.revision).sort(byRevision),
    };
  });
}

function byRevision(one, other) {
  return BigInt(one) < BigInt(other) ? -1 : 1;
}

function judge(given, { defaults }) {
  const { now, entries, keys } = { ...defaults, ...given };
  const facts = { ...defaults.facts, ...given.facts };
  const requirement = { ...defaults.requirement, ...given.requirement };
  const decided = verdict(facts, viewOf({ entries, keys }), requirement, now ?? NaN);
  const { subject, ...found } = answer(decided, requirement, facts);
  return found;
}

function refuseRequirement({ requirement }, { defaults }) {
  return requirementValid({ ...defaults.requirement, ...requirement }) ? "taken" : "refused";
}

function goTheWholeWay(given, file) {
  const { token, boot, min_revision: minRevision, ...rest } = { ...file.defaults, ...given };
  const feed = new Feed();
  for (const step of rest.feed) {
    if (step.do === "begin") feed.begin(step.boot);
    else feed.take(step.message, step.boot);
  }
  const fresh = feed.view.fresh(boot, file.staleness_limit);
  const requirement = { ...file.defaults.requirement, ...given.requirement };
  const knows = { view: feed.view, now: feed.clock.now(boot), fresh };
  const found = validate(token, knows, requirement, minRevision);
  return found.ask ? "ask" : found;
}

function viewOf({ entries = [], keys = [] }, issuer = "") {
  const view = new View();
  entries.forEach(check);
  view.setKeys(keys);
  return Object.assign(view, { entries, issuer, epoch: "given", revision: 2n ** 63n - 1n });
}

/** A time as the vectors write it: null where there is none yet. */
function timeOf(seconds) {
  return Number.isFinite(seconds) ? seconds : null;
}

function same(found, expected) {
  if (typeof found === "number" && typeof expected === "number") {
    return Math.abs(found - expected) < MICROSECOND;
  }
  if (found === null || expected === null || typeof found !== "object") {
    return isDeepStrictEqual(found, expected);
  }
  const names = Object.keys(found);
  return (
    typeof expected === "object" &&
    names.length === Object.keys(expected).length &&
    names.every((name) => Object.hasOwn(expected, name) && same(found[name], expected[name]))
  );
}

/** What is expected of a case as a whole, or of its steps one by one. */
function expectedOf({ expect, steps, questions }) {
  return expect !== undefined ? expect : (steps ?? questions).map((one) => one.expect ?? null);
}

function run(given, file, find) {
  try {
    return find(given, file);
  } catch (error) {
    return `it fails: ${error}`;
  }
}

function checkFile(folder, name) {
  const file = JSON.parse(readFileSync(join(folder, name), "utf8"));
  let cases = 0;
  let failed = 0;
  for (const [section, find] of Object.entries(SUBJECTS[name])) {
    for (const given of file[section]) {
      const found = run(given, file, find);
      const expected = expectedOf(given);
      cases += 1;
      if (same(found, expected)) continue;
      failed += 1;
      console.error(`${name}, ${section}: ${given.name}`);
      console.error(`  expected ${JSON.stringify(expected)}\n  found    ${JSON.stringify(found)}`);
    }
  }
  console.log(`${name}: ${cases} cases, ${failed ? `${failed} FAILED` : "all hold"}`);
  return failed;
}

function main(folder) {
  const names = readdirSync(folder).filter((name) => name.endsWith(".json"));
  const missing = Object.keys(SUBJECTS).filter((name) => !names.includes(name));
  const unknown = names.filter((name) => !Object.hasOwn(SUBJECTS, name));
  if (missing.length || unknown.length) {
    console.error(`files without a check, or missing: ${[...unknown, ...missing].join(", ")}`);
    return 1;
  }
  const failed = names.map((name) => checkFile(folder, name));
  return failed.some((count) => count > 0) ? 1 : 0;
}

const here = dirname(fileURLToPath(import.meta.url));
process.exitCode = main(process.argv[2] ?? join(here, "vectors"));
