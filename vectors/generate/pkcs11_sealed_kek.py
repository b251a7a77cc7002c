"""Writes vectors/pkcs11-sealed-kek/: `python vectors/generate/pkcs11_sealed_kek.py [--check]`.

Written from docs/formats/pkcs11-sealed-kek.md, with nothing but Python's own library. Shares no code with the TypeScript library.
"""

import hashlib

from vector_json import write_or_check

DOCUMENT = "docs/formats/pkcs11-sealed-kek.md"

HASHES = {"sha1": 1, "sha256": 2, "sha384": 3, "sha512": 4}


def drawn(label: str, length: int) -> bytes:
    """Bytes that stand for random ones; the same in each run."""
    return hashlib.shake_256(label.encode()).digest(length)


def field(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def hashed(domain: str, *fields: bytes) -> bytes:
    """Section 3."""
    return hashlib.sha256(b"".join(field(value) for value in (domain.encode(), *fields))).digest()


def head(method: int, hash_number: int, reference: bytes) -> bytes:
    """Section 1."""
    return b"SWPK" + bytes([1, method, hash_number]) + reference


def aes_container(reference: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    return head(1, 0, reference) + iv + ciphertext


def rsa_container(reference: bytes, hash_name: str, ciphertext: bytes) -> bytes:
    return head(2, HASHES[hash_name], reference) + field(ciphertext)


def der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    width = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | width]) + length.to_bytes(width, "big") + content


def spki(modulus: int, exponent: int) -> bytes:
    """SubjectPublicKeyInfo (RFC 5280) of an RSA key (RFC 8017, appendix A.1.1)."""

    def integer(value: int) -> bytes:
        return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))

    rsa_encryption = bytes.fromhex("06092a864886f70d0101010500")
    key = der(0x30, integer(modulus) + integer(exponent))
    return der(0x30, der(0x30, rsa_encryption) + der(0x03, b"\0" + key))


def key_references() -> list[dict]:
    modulus = int.from_bytes(drawn("modulus", 256), "big") | 1 << 2047 | 1
    public_key = spki(modulus, 65537)
    unique, counted = drawn("unique id", 16), bytes([1])
    cases = [
        ("an RSA key", "rsa", {"spki": public_key}, hashed("sealwright pkcs11 rsa key v1", public_key)),
        (
            "an AES key with a CKA_ID of 16 bytes",
            "aes",
            {"id": unique, "serialNumber": "0123", "label": "kek"},
            hashed("sealwright pkcs11 aes key v1", unique),
        ),
        (
            "the same on another token, under another label",
            "aes",
            {"id": unique, "serialNumber": "4567", "label": "copy"},
            hashed("sealwright pkcs11 aes key v1", unique),
        ),
        (
            "an AES key with a CKA_ID of one byte",
            "aes",
            {"id": counted, "serialNumber": "0123", "label": "kek"},
            hashed("sealwright pkcs11 aes key on token v1", b"0123", counted, b"kek"),
        ),
        (
            "an AES key without CKA_ID",
            "aes",
            {"id": b"", "serialNumber": "0123", "label": "schl\u00fcssel"},
            hashed("sealwright pkcs11 aes key on token v1", b"0123", b"", "schl\u00fcssel".encode()),
        ),
    ]
    return [
        {
            "name": name,
            "source": f"{DOCUMENT} section 3",
            "kind": kind,
            **{key: value.hex() if isinstance(value, bytes) else value for key, value in fields.items()},
            "keyReference": reference.hex(),
            "memberId": reference[:16].hex(),
        }
        for name, kind, fields, reference in cases
    ]


def containers() -> list[dict]:
    reference = drawn("reference", 32)
    cases = []
    iv, ciphertext = drawn("iv", 12), drawn("gcm ciphertext", 48)
    cases.append(
        {
            "name": "AES-GCM",
            "container": aes_container(reference, iv, ciphertext),
            "method": "pkcs11-aes-gcm",
            "iv": iv,
            "ciphertext": ciphertext,
        }
    )
    for hash_name, length in (("sha1", 256), ("sha256", 256), ("sha384", 384), ("sha512", 512)):
        ciphertext = drawn(f"oaep {hash_name}", length)
        cases.append(
            {
                "name": f"RSA-OAEP with {hash_name}, {length * 8} bits",
                "container": rsa_container(reference, hash_name, ciphertext),
                "method": "pkcs11-rsa-oaep",
                "hash": hash_name,
                "ciphertext": ciphertext,
            }
        )
    return [
        {
            "name": case["name"],
            "source": f"{DOCUMENT} section 1",
            **{key: value.hex() if isinstance(value, bytes) else value for key, value in case.items() if key != "name"},
            "keyReference": reference.hex(),
        }
        for case in cases
    ]


def refused() -> list[dict]:
    reference, iv, gcm = drawn("reference", 32), drawn("iv", 12), drawn("gcm ciphertext", 48)
    good = aes_container(reference, iv, gcm)
    oaep = drawn("oaep sha256", 256)
    cases = {
        "nothing": b"",
        "the magic alone": b"SWPK",
        "the magic of a TPM's container": b"SWTK" + good[4:],
        "version 0": good[:4] + b"\0" + good[5:],
        "version 2": good[:4] + b"\2" + good[5:],
        "method 0": good[:5] + b"\0" + good[6:],
        "method 3": good[:5] + b"\3" + good[6:],
        "AES-GCM with a hash": head(1, 2, reference) + iv + gcm,
        "RSA-OAEP without a hash": head(2, 0, reference) + field(oaep),
        "RSA-OAEP with hash 5": head(2, 5, reference) + field(oaep),
        "a ciphertext of AES-GCM that is too short": good[:-1],
        "a byte left over": good + b"\0",
        "RSA of 2,040 bits": rsa_container(reference, "sha256", drawn("short", 255)),
        "RSA of more than 16,384 bits": rsa_container(reference, "sha256", drawn("long", 2049)),
        "an empty ciphertext": rsa_container(reference, "sha256", b""),
        "a length beyond the end": head(2, 2, reference) + b"\x01\x01" + oaep,
        "a length before the end": head(2, 2, reference) + b"\x01\x00" + oaep + b"\0",
    }
    return [
        {
            "name": name,
            "source": f"{DOCUMENT} sections 1 and 2",
            "container": container.hex(),
            "code": "PKCS11_BLOB_MALFORMED",
        }
        for name, container in cases.items()
    ]


write_or_check(
    {
        "pkcs11-sealed-kek/containers.json": containers(),
        "pkcs11-sealed-kek/key-references.json": key_references(),
        "pkcs11-sealed-kek/refused.json": refused(),
    }
)
