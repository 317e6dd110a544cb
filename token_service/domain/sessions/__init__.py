"""Sessions: how they are opened and exchanged, and what they may grant."""
