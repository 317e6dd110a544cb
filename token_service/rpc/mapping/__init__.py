"""Messages to domain values and back; every field is checked here, before any crypto or store."""
