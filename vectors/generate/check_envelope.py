"""Checks our envelope against the vectors of vectors/envelope, which others computed."""

import hashlib
import json
from pathlib import Path

from format import envelope, xaes
from format.refused import Refused

# The million iterations of the longer vector take minutes here; the TypeScript tests have them.
MOST_ITERATIONS = 10_000


def check_envelope(vectors: Path) -> int:
    """How many vectors hold; fails at the first that does not."""
    checked = 0
    for check, file in (
        (_xaes, "xaes-256-gcm.json"),
        (_accumulated, "xaes-256-gcm-accumulated.json"),
        (_envelope, "envelope.json"),
        (_refused, "refused.json"),
    ):
        for vector in json.loads((vectors / "envelope" / file).read_text()):
            if vector.get("iterations", 0) > MOST_ITERATIONS:
                continue
            if not check(vector):
                raise SystemExit(f"{file}: {vector['name']}")
            checked += 1
    return checked


def _xaes(vector: dict) -> bool:
    key, nonce, plaintext, associated = (
        bytes.fromhex(vector[field]) for field in ("key", "nonce", "plaintext", "additionalData")
    )
    expected = vector["ciphertext"] + vector["tag"]
    return (
        xaes.derive_key(key, nonce).hex() == vector["derivedKey"]
        and xaes.encrypt(key, nonce, plaintext, associated).hex() == expected
        and xaes.decrypt(key, nonce, bytes.fromhex(expected), associated) == plaintext
    )


def _accumulated(vector: dict) -> bool:
    iterations = vector["iterations"]
    stream = memoryview(hashlib.shake_128().digest(iterations * (32 + 24 + 2 * (1 + 255))))
    offset = 0

    def take(length: int) -> bytes:
        nonlocal offset
        offset += length
        return bytes(stream[offset - length : offset])

    outputs = hashlib.shake_128()
    for _ in range(iterations):
        key, nonce = take(32), take(24)
        plaintext = take(take(1)[0])
        associated = take(take(1)[0])
        outputs.update(xaes.encrypt(key, nonce, plaintext, associated))
    return outputs.hexdigest(32) == vector["hash"]


def _envelope(vector: dict) -> bool:
    key, key_reference, nonce, plaintext = (
        bytes.fromhex(vector[field]) for field in ("key", "keyRef", "nonce", "plaintext")
    )
    context = [bytes.fromhex(field) for field in vector["context"]]
    purpose = next(number for number, name in envelope.PURPOSES.items() if name == vector["purpose"])
    written = envelope.encrypt(purpose, key, key_reference, context, nonce, plaintext)
    parsed = envelope.parse(written)
    return (
        written.hex() == vector["envelope"]
        and (parsed.purpose, parsed.key_reference) == (purpose, key_reference)
        and envelope.decrypt(parsed, key, context) == plaintext
    )


def _refused(vector: dict) -> bool:
    try:
        envelope.parse(bytes.fromhex(vector["envelope"]))
    except Refused as refused:
        return refused.code == vector["code"]
    return False
