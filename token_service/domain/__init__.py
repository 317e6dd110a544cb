"""Rules of the token model: plain values and pure decisions, standard library only."""
