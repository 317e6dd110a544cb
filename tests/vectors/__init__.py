"""Writes docs/spec/vectors: what the specification's implementations have to agree on.

Nothing here asks an implementation. Tokens are put together from their parts, with the standard
library and bare cryptography, and what has to come out stands beside each of them. The output is
the same in every run.
"""
