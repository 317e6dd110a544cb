// Base64url and opaque strings (tokens.md).

import { createHmac, timingSafeEqual } from "node:crypto";
import { Malformed } from "./malformed.mjs";

export const MOST_CHARACTERS = 8192;

const LAST = [null, null, /[AQgw]$/, /[AEIMQUYcgkosw048]$/];
const SESSION_CODES = { web: "WEB_SESSION", mob: "MOBILE_SESSION", api: "API_SESSION" };
const PAYLOADS = { web: 44, mob: 44, api: 44, acc: 71, cs: 32, rs: 32, pw: 32, ps: 32 };
const MACS = { web: [24, 20], mob: [24, 20], api: [24, 20], rol: [24, 20], acc: [55, 16] };
const LEVELS = ["", "aal1", "aal2", "aal3"];
const METHODS = ["pwd", "otp", "app", "xdev"];

export function decodeBase64url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new Malformed("not base64url");
  const rest = text.length % 4;
  if (rest === 1 || (rest > 1 && !LAST[rest].test(text))) throw new Malformed("not canonical");
  return Buffer.from(text, "base64url");
}

/** The form of a presented string, and the kind of a session token. */
export function formOf(text) {
  if (text.length === 0 || text.length > MOST_CHARACTERS) return { form: "malformed" };
  if (!text.startsWith("tsk_")) {
    const jwt = isAscii(text) && text.split(".").length === 3;
    return { form: jwt ? "jwt" : "malformed" };
  }
  let code;
  try {
    ({ code } = parseOpaque(text));
  } catch (error) {
    if (error instanceof Malformed) return { form: "malformed" };
    throw error;
  }
  if (Object.hasOwn(SESSION_CODES, code)) return { form: "session", kind: SESSION_CODES[code] };
  return { form: code === "acc" ? "opaque_access" : "credential" };
}

export function isAscii(text) {
  return /^[\x00-\x7f]*$/.test(text);
}

export function parseOpaque(text) {
  const parts = /^tsk_([^_]*)_(.*)$/s.exec(text);
  if (parts === null || !Object.hasOwn(PAYLOADS, parts[1])) throw new Malformed("unknown code");
  const [, code, encoded] = parts;
  if (encoded.length !== ((PAYLOADS[code] + 4) * 4) / 3) throw new Malformed("wrong length");
  const bytes = decodeBase64url(encoded);
  const payload = bytes.subarray(0, -4);
  if (crc32(Buffer.concat([Buffer.from(code), payload])) !== bytes.readUInt32BE(payload.length)) {
    throw new Malformed("wrong checksum");
  }
  return { code, payload };
}

export function readSession(payload) {
  return {
    mint_key_id: payload.toString("hex", 0, 4),
    lookup_id: payload.toString("hex", 4, 20),
    generation: payload.readUInt32BE(20),
    mac: payload.toString("hex", 24),
  };
}

export function readAccess(payload) {
  const id = payload.toString("hex", 4, 20);
  const sessionId = id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  const generation = payload.readUInt32BE(20);
  const audienceIndex = payload[24];
  return {
    key_id: payload.toString("hex", 0, 4),
    session_id: sessionId,
    generation,
    audience_index: audienceIndex,
    scope_mask: String(payload.readBigUInt64BE(25)),
    issued_at: payload.readUInt32BE(33),
    expires_at: payload.readUInt32BE(37),
    rev: String(payload.readBigUInt64BE(41)),
    auth_time: payload.readUInt32BE(49),
    acr: LEVELS[payload[53]] ?? "",
    amr: METHODS.filter((_, bit) => (payload[54] >> bit) & 1),
    token_id: `${sessionId}.${generation}.${audienceIndex}`,
  };
}

/** Whether a payload was sealed for this code with this key. */
export function macValid(code, payload, key) {
  const [size, length] = MACS[code];
  if (payload.length !== size + length) return false;
  const hmac = createHmac("sha256", key).update(code).update(payload.subarray(0, size)).digest();
  return timingSafeEqual(hmac.subarray(0, length), payload.subarray(size));
}

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
