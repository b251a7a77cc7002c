"""X-Wing (draft-connolly-cfrg-xwing-kem-10) and HPKE in base mode (RFC 9180) with it."""

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import ml_kem

LABEL = b"\\.//^\\"
KEM_ID, KDF_ID, AES_256_GCM, CHACHA20_POLY1305 = 0x647A, 0x0001, 0x0002, 0x0003


@dataclass(frozen=True)
class PrivateKey:
    seed: bytes

    def _expanded(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        expanded = hashlib.shake_256(self.seed).digest(96)
        return MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(expanded[64:])

    def public_key(self) -> bytes:
        lattice, curve = self._expanded()
        return lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()

    def decapsulate(self, enc: bytes) -> bytes:
        lattice, curve = self._expanded()
        shared = curve.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
        return _combined(lattice.decapsulate(enc[:1088]), shared, enc[1088:], curve.public_key().public_bytes_raw())

    def hpke_open(self, info: bytes, sealed: bytes) -> bytes:
        """By the library's own HPKE, which shares nothing with what is written here."""
        suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
        return suite.decrypt(sealed, hpke.MLKEM768X25519PrivateKey(*self._expanded()), info)


def encapsulate(public_key: bytes, eseed: bytes) -> tuple[bytes, bytes]:
    """The shared secret and `enc`, with given randomness."""
    ephemeral = X25519PrivateKey.from_private_bytes(eseed[32:])
    curve_enc = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public_key[1184:]))
    lattice_secret, lattice_enc = ml_kem.encapsulate(public_key[:1184], eseed[:32])
    return _combined(lattice_secret, shared, curve_enc, public_key[1184:]), lattice_enc + curve_enc


def hpke_seal(public_key: bytes, info: bytes, plaintext: bytes, eseed: bytes) -> tuple[bytes, bytes]:
    """RFC 9180 section 6.1: `enc` and the ciphertext."""
    secret, enc = encapsulate(public_key, eseed)
    key, nonce = key_schedule(secret, info, AES_256_GCM)
    return enc, AESGCM(key).encrypt(nonce, plaintext, b"")


def key_schedule(shared_secret: bytes, info: bytes, aead_id: int) -> tuple[bytes, bytes]:
    """RFC 9180 section 5.1, in base mode, for a key of 32 bytes."""
    suite = b"HPKE" + b"".join(number.to_bytes(2) for number in (KEM_ID, KDF_ID, aead_id))

    def extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return hmac.digest(salt, b"HPKE-v1" + suite + label + ikm, "sha256")

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared_secret, b"secret", b"")

    def expand(label: bytes, length: int) -> bytes:
        labeled = length.to_bytes(2) + b"HPKE-v1" + suite + label + context
        return hmac.digest(secret, labeled + b"\1", "sha256")[:length]

    return expand(b"key", 32), expand(b"base_nonce", 12)


def _combined(lattice_secret: bytes, curve_secret: bytes, curve_enc: bytes, curve_public: bytes) -> bytes:
    return hashlib.sha3_256(lattice_secret + curve_secret + curve_enc + curve_public + LABEL).digest()
