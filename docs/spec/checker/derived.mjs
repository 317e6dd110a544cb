// What clients and servers derive: keys, ids, fingerprints, codes (tokens.md).

import { createHash, createHmac, hkdfSync } from "node:crypto";

export function derivedKey({ client_id: id, client_secret: secret, purpose }) {
  const info = `tokenservice client key v1\0${purpose}\0${id}`;
  return Buffer.from(hkdfSync("sha256", secret, "", info, 32)).toString("hex");
}

export function exchangeId(key, token) {
  return createHmac("sha256", Buffer.from(key, "hex")).update(token).digest("hex").slice(0, 32);
}

export function fingerprint({ purpose, exchange_id: id, lookup_id: lookup, generation, client_id }) {
  const counter = Buffer.alloc(4);
  counter.writeUInt32BE(generation);
  const hash = createHash("sha256").update("tokenservice exchange v2\0");
  const [exchange, row] = [Buffer.from(id, "hex"), Buffer.from(lookup, "hex")];
  for (const part of [Buffer.from(purpose), exchange, row, counter, Buffer.from(client_id)]) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length);
    hash.update(length).update(part);
  }
  return hash.digest("hex");
}

export function basicAuthorization({ client_id: id, client_secret: secret }) {
  const pair = `${encodeURIComponent(id)}:${encodeURIComponent(secret)}`;
  return `Basic ${Buffer.from(pair).toString("base64")}`;
}

/** The canonical spelling of a pairing code, or null. */
export function readPairingCode(text) {
  const read = { O: "0", I: "1", L: "1", "-": "", " ": "" };
  const code = text.toUpperCase().replace(/[OIL -]/g, (character) => read[character]);
  return /^[0-9A-HJKMNP-TV-Z]{18}$/.test(code) ? code : null;
}
