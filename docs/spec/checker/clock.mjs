// The server's clock, by samples of it (trust.md).

const DRIFT = 0.0005;
const STEP = 1;
const SETTLED = 900;

export class Clock {
  offset = NaN;
  uncertainty = Infinity;
  takenAt = -Infinity;
  settledAt = Infinity;

  get anchored() {
    return this.uncertainty < Infinity;
  }

  now(at) {
    return at + this.offset;
  }

  uncertaintyAt(at) {
    return this.uncertainty + Math.max(0, at - this.takenAt) * DRIFT;
  }

  settled(at) {
    return at - this.settledAt >= SETTLED;
  }

  /** Takes a round trip into account; returns whether it was adopted. */
  sample(serverTime, sentAt, receivedAt) {
    if (![serverTime, sentAt, receivedAt].every(Number.isFinite) || sentAt > receivedAt) return false;
    const offset = serverTime - (sentAt + receivedAt) / 2;
    const uncertainty = (receivedAt - sentAt) / 2;
    const held = this.uncertaintyAt(receivedAt);
    const apart = Math.abs(offset - this.offset);
    if (uncertainty > held && !(apart > uncertainty + held)) return false;
    if (!this.anchored || apart > STEP) this.settledAt = receivedAt;
    Object.assign(this, { offset, uncertainty, takenAt: receivedAt });
    return true;
  }

  /** Takes a message into account that may have lain in a buffer. */
  witness(serverTime, receivedAt) {
    const excess = serverTime - receivedAt - this.offset - this.uncertaintyAt(receivedAt);
    if (!(excess > 0 && excess < Infinity)) return;
    if (excess > STEP) this.settledAt = receivedAt;
    this.offset += excess / 2;
    this.uncertainty += excess / 2;
  }
}
