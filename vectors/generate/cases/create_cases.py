"""vectors/keyring/create.json: a seal key, one member, and the keyring that comes of them, byte for byte."""

from typing import Any

from cases.sources import COMPUTED
from format import envelope
from format.registry import (
    METHODS,
    PKCS11,
    PKCS11_AES_GCM,
    PKCS11_RSA_OAEP,
    SEAL_TYPES,
    SHAMIR,
    SHAMIR_HYBRID,
    TPM,
    TPM_SEALED,
    TRANSIT,
    TRANSIT_METHOD,
)
from format.rules import decode

from .workshop import CREATED_AT_MS, Workshop


def cases() -> list[dict[str, Any]]:
    return [
        _case("a TPM, derived key id", TPM, "tpm", TPM_SEALED, "node-1"),
        _case("the same key on another node", TPM, "tpm", TPM_SEALED, "node-2", created_at_ms=CREATED_AT_MS + 1),
        _case("a given key id", TPM, "tpm", TPM_SEALED, "node-1", key_id="bootstrap-2024"),
        _case("a TPM with a storage key", TPM, "tpm", TPM_SEALED, "node-1", public_key_bytes=90),
        _case("a token", PKCS11, "hsm-a", PKCS11_AES_GCM, "token-a"),
        _case("a token with a public key", PKCS11, "hsm-a", PKCS11_RSA_OAEP, "token:slot=1", public_key_bytes=294),
        _case("a transit key", TRANSIT, "upstream", TRANSIT_METHOD, "https://[::1]:8200"),
        _case("shares", SHAMIR, "shares", SHAMIR_HYBRID, "3-of-5", public_key_bytes=1216, data_bytes=5 * 33),
        _case("nothing but the shortest", TPM, "!", TPM_SEALED, "~", key_id="k", created_at_ms=0, sealed_kek_bytes=1),
        _case(
            "everything as long as it may be",
            SHAMIR,
            "n" * 64,
            SHAMIR_HYBRID,
            "l" * 64,
            key_id="i" * 64,
            created_at_ms=2**53 - 1,
            public_key_bytes=4096,
            data_bytes=8192,
            sealed_kek_bytes=8192,
        ),
    ]


def _case(
    name: str,
    seal_type: int,
    seal_name: str,
    method: int,
    label: str,
    *,
    key_id: str | None = None,
    created_at_ms: int = CREATED_AT_MS,
    public_key_bytes: int = 0,
    data_bytes: int = 0,
    sealed_kek_bytes: int = 120,
) -> dict[str, Any]:
    workshop = Workshop("create")
    generation = workshop.first(key_id=None if key_id is None else key_id.encode())
    seal = workshop.seal(seal_type, seal_name)
    data = workshop.drawn(f"data {label}", data_bytes)
    member = workshop.member(seal, label, public_key_bytes=public_key_bytes, data=data)
    sealed_kek = workshop.drawn(f"sealed kek {label}", sealed_kek_bytes)
    record = workshop.record(member, generation, method, sealed_kek=sealed_kek, created_at_ms=created_at_ms)
    keyring = workshop.keyring(1, generation, seal, member, record).encoded()
    decode(keyring)
    return {
        "name": name,
        "source": COMPUTED,
        "sealKey": workshop.seal_keys[generation.id].hex(),
        **({} if key_id is None else {"keyId": key_id}),
        "sealName": seal_name,
        "sealType": SEAL_TYPES[seal_type],
        "method": METHODS[method],
        "label": label,
        "memberId": member.member_id.hex(),
        "wrappingKey": member.wrapping_key.hex(),
        "data": member.data.hex(),
        "createdAtMs": created_at_ms,
        "kek": workshop.keks[sealed_kek].hex(),
        "nonce": envelope.parse(record.wrapped_key).nonce.hex(),
        "sealedKek": sealed_kek.hex(),
        "keyring": keyring.hex(),
    }
