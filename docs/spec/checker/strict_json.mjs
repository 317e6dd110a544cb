// Strict JSON (tokens.md): one object, one spelling of what matters, nothing twice.
// JSON.parse tells neither duplicate names nor 1 from 1.0, so this is a parser of its own.

import { Malformed } from "./malformed.mjs";

const MOST_CONTAINERS = 64;
const MOST_INTEGER_CHARACTERS = 20;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

/** Reads bytes as one object: a Map. Integers are BigInt, other numbers are Number. */
export function parseObject(bytes) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Malformed("not UTF-8");
  }
  const reader = new Reader(text);
  if (text[0] !== "{") throw new Malformed("not an object");
  const object = reader.value();
  if (reader.at !== text.length) throw new Malformed("more than one object");
  return object;
}

class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.containers = 0;
  }

  value() {
    switch (this.text[this.at]) {
      case "{":
        return this.object();
      case "[":
        return this.list();
      case '"':
        return this.string();
      case "t":
        return this.word("true", true);
      case "f":
        return this.word("false", false);
      case "n":
        return this.word("null", null);
      default:
        return this.number();
    }
  }

  object() {
    const members = new Map();
    this.open();
    if (this.closes("}")) return members;
    for (;;) {
      if (this.text[this.at] !== '"') throw new Malformed("no member name");
      const name = this.string();
      if (members.has(name)) throw new Malformed("a member name occurs twice");
      this.blanks();
      this.expect(":");
      this.blanks();
      members.set(name, this.value());
      if (this.closes("}")) return members;
      this.expect(",");
      this.blanks();
    }
  }

  list() {
    const items = [];
    this.open();
    if (this.closes("]")) return items;
    for (;;) {
      items.push(this.value());
      if (this.closes("]")) return items;
      this.expect(",");
      this.blanks();
    }
  }

  string() {
    let result = "";
    for (this.at += 1; ; this.at += 1) {
      const character = this.text[this.at];
      if (character === undefined || character < " ") throw new Malformed("a string has no end");
      if (character === '"') break;
      result += character === "\\" ? this.escape() : character;
    }
    this.at += 1;
    return result;
  }

  escape() {
    this.at += 1;
    const character = this.text[this.at];
    if (character !== "u") {
      if (!Object.hasOwn(ESCAPES, character ?? "none")) throw new Malformed("unknown escape");
      return ESCAPES[character];
    }
    const digits = this.text.slice(this.at + 1, this.at + 5);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw new Malformed("unknown escape");
    this.at += 4;
    return String.fromCharCode(parseInt(digits, 16));
  }

  number() {
    NUMBER.lastIndex = this.at;
    const found = NUMBER.exec(this.text);
    if (found === null) throw new Malformed("not a value");
    this.at = NUMBER.lastIndex;
    const [text, fraction, exponent] = found;
    if (fraction !== undefined || exponent !== undefined) {
      const number = Number(text);
      if (!Number.isFinite(number)) throw new Malformed("number out of range");
      return number;
    }
    if (text.length > MOST_INTEGER_CHARACTERS) throw new Malformed("integer too long");
    return BigInt(text);
  }

  word(text, value) {
    if (!this.text.startsWith(text, this.at)) throw new Malformed("not a value");
    this.at += text.length;
    return value;
  }

  open() {
    this.containers += 1;
    if (this.containers > MOST_CONTAINERS) throw new Malformed("too many objects and arrays");
    this.at += 1;
    this.blanks();
  }

  closes(bracket) {
    this.blanks();
    if (this.text[this.at] !== bracket) return false;
    this.at += 1;
    return true;
  }

  expect(character) {
    if (this.text[this.at] !== character) throw new Malformed(`no ${character}`);
    this.at += 1;
  }

  blanks() {
    while (" \t\n\r".includes(this.text[this.at] ?? "none")) this.at += 1;
  }
}
