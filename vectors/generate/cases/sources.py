"""Where the vectors of a keyring come from."""

from importlib.metadata import version

COMPUTED = f"docs/formats/keyring.md; computed with Python cryptography {version('cryptography')}"
RULES = "docs/formats/keyring.md sections 3 to 6"
