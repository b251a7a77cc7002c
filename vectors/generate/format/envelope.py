"""The envelope, docs/formats/envelope.md."""

from dataclasses import dataclass

from . import xaes
from .refused import Refused

MAGIC = b"SWEV"
VERSION = 1
ALGORITHM = 1
PURPOSES = {1: "openbao-blob", 2: "keyring-record", 3: "keyring-link", 4: "kms-seed"}
BLOB, RECORD, LINK, KMS_SEED = 1, 2, 3, 4

NONCE_BYTES = 24
KEY_REFERENCE_MAX_BYTES = 64
CIPHERTEXT_MAX_BYTES = 1_048_576
LONGEST_BYTES = 52 + KEY_REFERENCE_MAX_BYTES + CIPHERTEXT_MAX_BYTES


@dataclass(frozen=True)
class Envelope:
    purpose: int
    key_reference: bytes
    nonce: bytes
    header: bytes
    ciphertext: bytes
    tag: bytes


def encrypt(
    purpose: int, key: bytes, key_reference: bytes, context: list[bytes], nonce: bytes, plaintext: bytes
) -> bytes:
    header = b"".join(
        [
            MAGIC,
            bytes([VERSION, ALGORITHM, purpose, len(key_reference)]),
            key_reference,
            nonce,
            len(plaintext).to_bytes(4),
        ]
    )
    return header + xaes.encrypt(key, nonce, plaintext, associated_data(header, context))


def decrypt(envelope: Envelope, key: bytes, context: list[bytes]) -> bytes:
    sealed = envelope.ciphertext + envelope.tag
    plaintext = xaes.decrypt(key, envelope.nonce, sealed, associated_data(envelope.header, context))
    if plaintext is None:
        raise Refused("ENVELOPE_AUTH_FAILED", "the tag does not fit")
    return plaintext


def associated_data(header: bytes, context: list[bytes]) -> bytes:
    fields = b"".join(len(field).to_bytes(4) + field for field in context)
    return header + len(context).to_bytes(4) + fields


def parse(data: bytes) -> Envelope:
    """Section 2: checks the layout, uses no key."""
    if len(data) > LONGEST_BYTES:
        raise Refused("ENVELOPE_TOO_LARGE", "longer than the longest envelope")
    if data[:4] != MAGIC or len(data) < 8:
        raise Refused("ENVELOPE_MALFORMED", "no envelope")
    version, algorithm, purpose, key_reference_bytes = data[4:8]
    if 0 in (version, algorithm, purpose):
        raise Refused("ENVELOPE_MALFORMED", "a version, algorithm or purpose of 0")
    if version != VERSION or algorithm != ALGORITHM or purpose not in PURPOSES:
        raise Refused("ENVELOPE_UNSUPPORTED", "an unknown version, algorithm or purpose")
    if not 1 <= key_reference_bytes <= KEY_REFERENCE_MAX_BYTES:
        raise Refused("ENVELOPE_MALFORMED", "the length of the key reference")
    header_bytes = 36 + key_reference_bytes
    if len(data) < header_bytes:
        raise Refused("ENVELOPE_MALFORMED", "the header ends early")
    ciphertext_bytes = int.from_bytes(data[header_bytes - 4 : header_bytes])
    if ciphertext_bytes > CIPHERTEXT_MAX_BYTES:
        raise Refused("ENVELOPE_TOO_LARGE", "the length of the ciphertext")
    if ciphertext_bytes == 0 or len(data) != header_bytes + ciphertext_bytes + xaes.TAG_BYTES:
        raise Refused("ENVELOPE_MALFORMED", "the ciphertext is empty, ends early, or bytes are left over")
    return Envelope(
        purpose=purpose,
        key_reference=data[8 : 8 + key_reference_bytes],
        nonce=data[8 + key_reference_bytes : header_bytes - 4],
        header=data[:header_bytes],
        ciphertext=data[header_bytes : header_bytes + ciphertext_bytes],
        tag=data[header_bytes + ciphertext_bytes :],
    )
