"""XAES-256-GCM, as docs/formats/envelope.md section 4 has it in short."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TAG_BYTES = 16


def encrypt(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """The ciphertext, followed by its tag."""
    return AESGCM(derive_key(key, nonce)).encrypt(nonce[12:], plaintext, associated)


def decrypt(key: bytes, nonce: bytes, ciphertext_and_tag: bytes, associated: bytes) -> bytes | None:
    """The plaintext, or None if the tag does not fit."""
    try:
        return AESGCM(derive_key(key, nonce)).decrypt(nonce[12:], ciphertext_and_tag, associated)
    except InvalidTag:
        return None


def derive_key(key: bytes, nonce: bytes) -> bytes:
    """The key for AES-256-GCM, from the key and the first half of the nonce."""
    mask = _doubled(_aes(key, bytes(16)))
    blocks = (bytes([0, number, 0x58, 0]) + nonce[:12] for number in (1, 2))
    return b"".join(_aes(key, _xor(block, mask)) for block in blocks)


def _aes(key: bytes, block: bytes) -> bytes:
    # One block by itself: this is the AES of the document, not a mode of operation.
    encryptor = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()
    return encryptor.update(block) + encryptor.finalize()


def _doubled(block: bytes) -> bytes:
    number = int.from_bytes(block) << 1
    shifted_out = number >> 128
    return ((number & ((1 << 128) - 1)) ^ (0x87 if shifted_out else 0)).to_bytes(16)


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))
