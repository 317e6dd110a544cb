// The view of the trust log: keys, entries, and what they do to a token (trust.md).

const KINDS = ["TOKEN", "SESSION", "SUBJECT", "SUBJECT_DEVICE", "CLIENT", "KEY", "EVERYTHING"];
const EFFECTS = ["REVOKE", "REISSUE"];
const VERIFIABLE = ["PENDING", "ACTIVE", "RETIRING"];
const BY_IDENTITY = ["SESSION", "KEY"];

/** An entry that cannot be honoured: nothing is to be trusted that needs it. */
export class Refused extends Error {}

export class View {
  epoch = "";
  issuer = "";
  revision = 0n;
  readAt = -Infinity;
  keys = new Map();
  entries = [];

  setKeys(keys) {
    this.keys = new Map(keys.map((key) => [key.kid, key]));
  }

  distrust() {
    this.epoch = "";
    this.readAt = -Infinity;
  }

  fresh(boot, limit) {
    return boot - this.readAt <= limit;
  }

  verifiable(kid) {
    return VERIFIABLE.includes(this.keys.get(kid)?.state);
  }

  keyRevoked(kid) {
    const revoked = (entry) => entry.kind === "KEY" && entry.effect === "REVOKE" && entry.id === kid;
    return this.keys.get(kid)?.state === "COMPROMISED" || this.entries.some(revoked);
  }

  /** What the log does to a token: "REVOKE", "REISSUE" or "". */
  status(facts) {
    const effects = this.entries.filter((entry) => kills(entry, facts)).map((one) => one.effect);
    return EFFECTS.find((effect) => effects.includes(effect)) ?? "";
  }

  drop(now) {
    this.entries = this.entries.filter((entry) => !(entry.keep_until < now));
  }
}

/** Throws Refused for an entry that cannot be honoured. */
export function check(entry) {
  if (!known(entry)) throw new Refused("unknown kind or effect");
  const { kind, id, device_id: device, revision, keep_until: until } = entry;
  if (BigInt(revision) < 1n || !Number.isFinite(until)) throw new Refused("out of range");
  if ((id === "") !== (kind === "EVERYTHING")) throw new Refused("id");
  if ((device === "") === (kind === "SUBJECT_DEVICE")) throw new Refused("device id");
}

export function known(entry) {
  return KINDS.includes(entry.kind) && EFFECTS.includes(entry.effect);
}

function kills(entry, facts) {
  if (!concerns(entry, facts)) return false;
  if (entry.kind === "TOKEN") return true;
  if (entry.effect === "REVOKE" && BY_IDENTITY.includes(entry.kind)) return true;
  return BigInt(facts.rev) < BigInt(entry.revision);
}

function concerns({ kind, id, device_id: device }, facts) {
  switch (kind) {
    case "TOKEN":
      return id === facts.token_id;
    case "SESSION":
      return id === facts.session_id;
    case "SUBJECT":
      return id === facts.subject;
    case "SUBJECT_DEVICE":
      return id === facts.subject && device === facts.device_id;
    case "CLIENT":
      return id === facts.client_id;
    case "KEY":
      return id === facts.key_id;
    default:
      return kind === "EVERYTHING";
  }
}
