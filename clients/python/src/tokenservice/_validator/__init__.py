"""The validator: follows the trust feed, and asks the server about the rest."""
