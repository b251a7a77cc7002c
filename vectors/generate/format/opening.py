"""Opening a keyring and its blobs: docs/formats/keyring.md sections 7 and 8."""

import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from . import envelope, key_schedule
from .keyring import Generation, Keyring, Record
from .lineage import Lineage
from .refused import Refused
from .registry import GEN_PENDING

UnsealKek = Callable[[Record], bytes]
"""Asks the member. Raises MemberFailed if it cannot."""


class MemberFailed(Exception):
    """What the member itself says is no matter of the format."""


@dataclass(frozen=True)
class Opened:
    keyring: Keyring
    seal_keys: dict[bytes, bytes]
    """By generation id."""

    @property
    def current(self) -> Generation:
        return Lineage(self.keyring.generations).current()

    def decrypt_blob(self, blob: bytes, aad: bytes) -> bytes:
        """Section 8."""
        parsed = envelope.parse(blob)
        if parsed.purpose != envelope.BLOB:
            raise Refused("ENVELOPE_PURPOSE_MISMATCH", "no blob")
        named = [g for g in self.keyring.generations if g.key_id == parsed.key_reference and g.id in self.seal_keys]
        if not named:
            raise Refused("KEYRING_KEY_UNKNOWN", "the key of this blob is not held")
        key = key_schedule.blob_key(self.seal_keys[named[0].id], self.keyring.cluster_id)
        return envelope.decrypt(parsed, key, [self.keyring.cluster_id, aad])


def open_by_member(keyring: Keyring, seal_id: bytes, member_id: bytes, unseal_kek: UnsealKek) -> Opened:
    """Section 7.3."""
    lineage = Lineage(keyring.generations)
    current = lineage.current()
    records = [record for record in keyring.records if record.holder == (seal_id, member_id)]
    if not records:
        raise Refused("KEYRING_NO_RECORD", "no record of this member")
    records.sort(key=lambda record: lineage.by_id[record.generation_id].sort_key)
    leading = [r for r in records if lineage.links_lead(keyring.links, lineage.by_id[r.generation_id], current)]
    if not leading:
        raise Refused("KEYRING_LINK_BROKEN", "no record from which links lead to the current generation")
    held: dict[bytes, bytes] = {}
    for record in [leading[0], *records]:
        generation = lineage.by_id[record.generation_id]
        if generation.state == GEN_PENDING or generation.id in held:
            continue
        try:
            held = _climb(keyring, {**held, generation.id: _unwrap_record(keyring, record, unseal_kek)})
        except (Refused, MemberFailed):
            # This reader never knows whether a PIN was counted.
            if current.id not in held:
                raise
    return _authenticated(keyring, held)


def open_by_seal_key(keyring: Keyring, seal_key: bytes) -> Opened:
    """Section 7.4."""
    generation_id = key_schedule.generation_id(seal_key)
    lineage = Lineage(keyring.generations)
    if generation_id not in lineage.by_id:
        raise Refused("KEYRING_OTHER_KEY", "the key of no generation")
    return _authenticated(keyring, _climb(keyring, {generation_id: seal_key}))


def check_mac(keyring: Keyring, current_seal_key: bytes) -> None:
    """Section 6.4."""
    expected = key_schedule.mac(current_seal_key, keyring.cluster_id, keyring.authenticated_bytes())
    if not hmac.compare_digest(keyring.mac, expected):
        raise Refused("KEYRING_AUTH_FAILED", "the MAC")


def record_context(keyring: Keyring, record: Record) -> list[bytes]:
    """Section 7.1."""
    seal_type = next(seal.seal_type for seal in keyring.seals if seal.seal_id == record.seal_id)
    return [
        keyring.cluster_id,
        record.seal_id,
        bytes([seal_type]),
        record.member_id,
        record.generation_id,
        bytes([record.method]),
    ]


def _authenticated(keyring: Keyring, held: dict[bytes, bytes]) -> Opened:
    opened = Opened(keyring, held)
    if opened.current.id not in held:
        raise Refused("KEYRING_LINK_BROKEN", "the current generation is out of reach")
    check_mac(keyring, held[opened.current.id])
    return opened


def _unwrap_record(keyring: Keyring, record: Record, unseal_kek: UnsealKek) -> bytes:
    kek = unseal_kek(record)
    if len(kek) != 32:
        raise Refused("KEYRING_RECORD_AUTH_FAILED", f"a KEK of {len(kek)} bytes")
    context = record_context(keyring, record)
    return _unwrap(record.wrapped_key, kek, context, record.generation_id, "KEYRING_RECORD_AUTH_FAILED")


def _climb(keyring: Keyring, held: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Section 7.3, 4: what is held once every link that opens is followed."""
    by_id = {generation.id: generation for generation in keyring.generations}
    climbed = dict(held)
    # A link leads from a lower number to a higher one: in order of number, one pass is enough.
    for link in sorted(keyring.links, key=lambda link: by_id[link.to].sort_key):
        parent_id = by_id[link.to].parent_id
        if parent_id not in climbed:
            continue
        key = key_schedule.link_key(climbed[parent_id], keyring.cluster_id)
        context = [keyring.cluster_id, parent_id, link.to]
        with suppress(Refused):
            climbed[link.to] = _unwrap(link.wrapped_key, key, context, link.to, "KEYRING_LINK_BROKEN")
    return climbed


def _unwrap(wrapped_key: bytes, key: bytes, context: list[bytes], generation_id: bytes, code: str) -> bytes:
    try:
        seal_key = envelope.decrypt(envelope.parse(wrapped_key), key, context)
    except Refused as refused:
        raise Refused(code, "the envelope does not decrypt") from refused
    if key_schedule.generation_id(seal_key) != generation_id:
        raise Refused(code, "the key inside is that of another generation")
    return seal_key
