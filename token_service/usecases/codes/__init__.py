"""One-time codes: issued, redeemed, looked at and ended."""
