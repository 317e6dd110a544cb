// Whether a published key signed a token (tokens.md). Node's own cryptography does the mathematics.

import { constants, createPublicKey, verify } from "node:crypto";

// y of the Ed25519 points of small order (RFC 8032 has p = 2^255 - 19).
const P = 2n ** 255n - 19n;
const SMALL = new Set([
  0n,
  1n,
  P - 1n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd83d3d706a17c7n,
]);
const SPKI_ED25519 = 12;

/** Whether the key signed these bytes; never throws. A key that does not fit signs nothing. */
export function signedBy(key, signed, signature) {
  const object = load(key);
  if (object === null) return false;
  switch (key.alg) {
    case "EdDSA": {
      const raw = Buffer.from(key.public_key, "base64").subarray(SPKI_ED25519);
      if (signature.length !== 64 || !usual(raw) || !usual(signature.subarray(0, 32))) return false;
      return verify(null, signed, object, signature);
    }
    case "ES256":
      if (signature.length !== 64) return false;
      return verify("sha256", signed, { key: object, dsaEncoding: "ieee-p1363" }, signature);
    case "RS256":
      if (signature.length !== modulusLength(object)) return false;
      return verify("sha256", signed, object, signature);
    case "PS256": {
      if (signature.length !== modulusLength(object)) return false;
      const padding = constants.RSA_PKCS1_PSS_PADDING;
      return verify("sha256", signed, { key: object, padding, saltLength: 32 }, signature);
    }
    default:
      return false;
  }
}

/** How many bytes an RSA signature has: some libraries take one without its leading zeros. */
function modulusLength(object) {
  return Math.ceil(object.asymmetricKeyDetails.modulusLength / 8);
}

/** The key object, or null where the key does not fit its algorithm. */
function load(key) {
  const der = Buffer.from(key.public_key, "base64");
  let object;
  try {
    object = createPublicKey({ key: der, format: "der", type: "spki" });
  } catch {
    return null;
  }
  if (!object.export({ format: "der", type: "spki" }).equals(der)) return null;
  const { modulusLength, namedCurve } = object.asymmetricKeyDetails;
  const fits = {
    EdDSA: () => object.asymmetricKeyType === "ed25519",
    ES256: () => object.asymmetricKeyType === "ec" && namedCurve === "prime256v1",
    RS256: () => object.asymmetricKeyType === "rsa" && modulusLength >= 2048 && modulusLength <= 4096,
  };
  fits.PS256 = fits.RS256;
  return Object.hasOwn(fits, key.alg) && fits[key.alg]() ? object : null;
}

/** Whether 32 bytes are the canonical encoding of a point that is not of small order. */
function usual(encoded) {
  const littleEndian = Buffer.from(encoded).reverse();
  littleEndian[0] &= 0x7f;
  const y = BigInt(`0x${littleEndian.toString("hex")}`);
  return y < P && !SMALL.has(y);
}
