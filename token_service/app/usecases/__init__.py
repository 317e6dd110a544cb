"""The use cases of a server, subject by subject, given their parts."""
