"""The checks of `token-service doctor`: judgements are pure, the readings stand around them."""
