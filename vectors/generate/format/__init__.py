"""The keyring and the envelope, written from docs/formats/keyring.md and docs/formats/envelope.md alone."""
