// Messages of the trust feed, applied to a view (trust.md). They are in the JSON of protobuf.

import { Clock } from "./clock.mjs";
import { check, known, Refused, View } from "./trust.mjs";

class Gap extends Error {}

export class Feed {
  view = new View();
  clock = new Clock();
  #stream = new Clock();
  #sentAt = 0;
  #startOver = true;
  #chunks = null;

  /** Begins a stream: what to ask for. */
  begin(boot) {
    this.#sentAt = boot;
    this.#stream = new Clock();
    this.#chunks = null;
    const over = this.#startOver || this.view.epoch === "";
    this.#startOver = false;
    const { epoch, revision } = this.view;
    return over ? { epoch: "", from_revision: "0" } : { epoch, from_revision: String(revision) };
  }

  /** Takes one message: "applied", or "broken" where the stream has to end. */
  take(message, boot) {
    const readAt = this.#readAt(message, boot);
    try {
      this.#apply(message, readAt);
      return "applied";
    } catch (error) {
      if (!(error instanceof Gap || error instanceof Refused)) throw error;
      if (error instanceof Refused) this.view.distrust();
      this.#startOver = true;
      return "broken";
    }
  }

  #readAt(message, boot) {
    const serverTime = seconds(message.serverTime);
    if (this.#stream.anchored) {
      for (const clock of [this.#stream, this.clock]) clock.witness(serverTime, boot);
    } else {
      for (const clock of [this.#stream, this.clock]) clock.sample(serverTime, this.#sentAt, boot);
    }
    const ahead = this.#stream.offset + this.#stream.uncertaintyAt(boot);
    return Math.min(seconds(message.readTime) - ahead, boot);
  }

  #apply(message, readAt) {
    const head = { epoch: message.epoch ?? "", issuer: message.issuer ?? "" };
    head.revision = BigInt(message.revision ?? 0);
    if (head.epoch === "") throw new Refused("no epoch");
    if (message.snapshot) return this.#chunk(head, message.snapshot, readAt);
    if (this.#chunks !== null) throw new Gap();
    if (!message.delta && !message.heartbeat) throw new Refused("no event");
    if (head.epoch !== this.view.epoch) {
      this.view.distrust();
      throw new Gap();
    }
    if (head.issuer !== this.view.issuer) throw new Gap();
    if (message.delta) return this.#delta(head.revision, message.delta, readAt);
    if (head.revision > this.view.revision) throw new Gap();
    if (head.revision === this.view.revision) this.#readAgain(readAt);
  }

  #chunk(head, chunk, readAt) {
    const { view } = this;
    if (this.#chunks === null) {
      if (view.epoch !== "" && head.epoch !== view.epoch) view.distrust();
      this.#chunks = { head, readAt, keys: [], entries: [], last: 0n };
    }
    const held = this.#chunks;
    for (const name of ["epoch", "revision", "issuer"]) {
      if (held.head[name] !== head[name]) throw new Gap();
    }
    held.keys.push(...keysOf(chunk));
    for (const entry of entriesOf(chunk)) {
      check(entry);
      if (BigInt(entry.revision) < held.last) throw new Refused("entries out of order");
      held.last = BigInt(entry.revision);
      held.entries.push(entry);
    }
    if (chunk.last) this.#adopt(held);
  }

  #adopt({ head, readAt, keys, entries, last }) {
    const { view } = this;
    this.#chunks = null;
    if (keys.length === 0) throw new Gap();
    if (head.epoch === view.epoch && head.revision < view.revision) return;
    if (last > head.revision) throw new Gap();
    Object.assign(view, head, { readAt, entries });
    view.setKeys(keys);
  }

  #delta(revision, delta, readAt) {
    const { view } = this;
    const from = BigInt(delta.fromRevision ?? 0);
    const entries = entriesOf(delta);
    if (!entries.every(known)) throw new Refused("unknown kind or effect");
    if (from > view.revision || revision < from) throw new Gap();
    if (revision < view.revision) return;
    const fresh = entries.filter((entry) => BigInt(entry.revision) > view.revision);
    if (fresh.some((entry) => BigInt(entry.revision) > revision)) throw new Gap();
    fresh.forEach(check);
    view.entries.push(...fresh);
    if (delta.keysChanged) view.setKeys(keysOf(delta));
    view.revision = revision;
    this.#readAgain(readAt);
  }

  #readAgain(readAt) {
    this.view.readAt = Math.max(this.view.readAt, readAt);
  }
}

/** Keys in the JSON of protobuf: members that are empty are left out there. */
function keysOf(part) {
  return (part.keys ?? []).map((key) => ({
    kid: key.kid ?? "",
    alg: key.alg ?? "",
    public_key: key.publicKey ?? "",
    server_only: key.serverOnly ?? false,
    state: String(key.state ?? "").replace("KEY_STATE_", ""),
  }));
}

function entriesOf(part) {
  return (part.entries ?? []).map((entry) => ({
    revision: entry.revision ?? "0",
    kind: String(entry.kind ?? "").replace("TRUST_ENTRY_KIND_", ""),
    id: entry.id ?? "",
    device_id: entry.deviceId ?? "",
    effect: String(entry.effect ?? "").replace("TRUST_EFFECT_", ""),
    keep_until: seconds(entry.keepUntil),
  }));
}

/** Unix seconds of a timestamp in the JSON of protobuf (RFC 3339). */
function seconds(text) {
  const [, whole, fraction] = /^([^.]*?)(\.[0-9]+)?Z$/.exec(text ?? "1970-01-01T00:00:00Z");
  return Date.parse(`${whole}Z`) / 1000 + Number(`0${fraction ?? ""}`);
}
