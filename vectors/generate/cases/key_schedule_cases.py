"""vectors/keyring/key-schedule.json"""

from typing import Any

from cases.sources import COMPUTED
from format import key_schedule
from format.registry import PKCS11, SEAL_TYPES, SHAMIR, TPM, TRANSIT

from .drawn import drawn

SEALS = [(TPM, "tpm"), (PKCS11, "hsm-a"), (TRANSIT, "tpm"), (SHAMIR, "default"), (TPM, "~" * 64)]
FIRST = drawn("key schedule", 32)
SEAL_KEYS = {
    "drawn": FIRST,
    "counting up": bytes(range(32)),
    "all ones": b"\xff" * 32,
    "one bit": bytes(31) + b"\x01",
}


def cases() -> list[dict[str, Any]]:
    own = [_case(f"first generation: {name}", seal_key, seal_key) for name, seal_key in SEAL_KEYS.items()]
    later = _case("later generation: counting up", SEAL_KEYS["counting up"], FIRST)
    return [*own, later]


def _case(name: str, seal_key: bytes, first_seal_key: bytes) -> dict[str, Any]:
    first_signing_key = key_schedule.public_signing_key(first_seal_key)
    cluster_id = key_schedule.cluster_id(first_signing_key)
    return {
        "name": name,
        "source": COMPUTED,
        "sealKey": seal_key.hex(),
        "generationId": key_schedule.generation_id(seal_key).hex(),
        "signingKey": key_schedule.public_signing_key(seal_key).hex(),
        "keyId": key_schedule.key_id(seal_key).decode(),
        "firstSigningKey": first_signing_key.hex(),
        "clusterId": cluster_id.hex(),
        "blobKey": key_schedule.blob_key(seal_key, cluster_id).hex(),
        "macKey": key_schedule.mac_key(seal_key, cluster_id).hex(),
        "linkKey": key_schedule.link_key(seal_key, cluster_id).hex(),
        "auditKey": key_schedule.audit_key(seal_key, cluster_id).hex(),
        "kmsKey": key_schedule.kms_key(seal_key, cluster_id).hex(),
        "sealIds": {
            f"{SEAL_TYPES[seal_type]} {seal_name}": _seal_id(cluster_id, seal_type, seal_name)
            for seal_type, seal_name in SEALS
        },
    }


def _seal_id(cluster_id: bytes, seal_type: int, name: str) -> str:
    return key_schedule.seal_id(cluster_id, seal_type, name.encode()).hex()
