"""A web gateway that logs people in by password and by QR code; see README.md beside this file."""
