// Two of the ways in which a presented string is no token of ours (verdict.md).

/** It is not a token in its one canonical form. */
export class Malformed extends Error {}

/** It is well formed, and was not issued here. */
export class Unknown extends Error {}
