"""Keys and ids, docs/formats/keyring.md section 6."""

import hashlib
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PREFIX = "sealwright keyring v1 "


def generation_id(seal_key: bytes) -> bytes:
    return _derived(seal_key, b"", "generation id", 16)


def key_id(seal_key: bytes) -> bytes:
    return b"sw-" + _derived(seal_key, b"", "key id", 8).hex().encode()


def blob_key(seal_key: bytes, cluster_id: bytes) -> bytes:
    return _derived(seal_key, cluster_id, "blob key", 32)


def mac_key(seal_key: bytes, cluster_id: bytes) -> bytes:
    return _derived(seal_key, cluster_id, "mac key", 32)


def link_key(seal_key: bytes, cluster_id: bytes) -> bytes:
    return _derived(seal_key, cluster_id, "link key", 32)


def audit_key(seal_key: bytes, cluster_id: bytes) -> bytes:
    return _derived(seal_key, cluster_id, "audit key", 32)


def kms_key(seal_key: bytes, cluster_id: bytes) -> bytes:
    return _derived(seal_key, cluster_id, "kms key", 32)


def public_signing_key(seal_key: bytes) -> bytes:
    return _signing_key(seal_key).public_key().public_bytes_raw()


def cluster_id(first_signing_key: bytes) -> bytes:
    return hash_of(_text("cluster id"), first_signing_key)[:16]


def seal_id(cluster: bytes, seal_type: int, name: bytes) -> bytes:
    return hash_of(_text("seal id"), cluster, bytes([seal_type]), name)[:16]


def mac(seal_key: bytes, cluster: bytes, data: bytes) -> bytes:
    """Section 6.4."""
    return hmac.digest(mac_key(seal_key, cluster), data, "sha256")


def lineage_message(
    *, cluster: bytes, number: int, id: bytes, parent_id: bytes, step: int, key_id: bytes, signing_key: bytes
) -> bytes:
    """Section 6.5: what the parent signs."""
    fields = (_text("generation"), cluster, number.to_bytes(4), id, parent_id, bytes([step]), key_id, signing_key)
    return _length_prefixed(fields)


def sign(parent_seal_key: bytes, message: bytes) -> bytes:
    return _signing_key(parent_seal_key).sign(message)


def verifies(signing_key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(signing_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def hash_of(*fields: bytes) -> bytes:
    """`H` of section 6.2."""
    return hashlib.sha256(_length_prefixed(fields)).digest()


def _length_prefixed(fields: tuple[bytes, ...]) -> bytes:
    return b"".join(len(field).to_bytes(4) + field for field in fields)


def _text(name: str) -> bytes:
    return (PREFIX + name).encode("ascii")


def _signing_key(seal_key: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(_derived(seal_key, b"", "signing key", 32))


def _derived(seal_key: bytes, salt: bytes, name: str, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=_text(name)).derive(seal_key)
