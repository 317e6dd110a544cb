"""The table of guessable attempts."""
