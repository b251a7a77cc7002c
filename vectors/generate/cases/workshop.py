"""Makes the parts of one cluster's keyrings, keeping the keys that a keyring does not hold."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

from format import envelope, key_schedule
from format.keyring import Generation, Keyring, Link, Member, Record, Seal
from format.lineage import Lineage
from format.registry import (
    CHAINED,
    GEN_ACTIVE,
    NO_PARENT,
    PKCS11,
    PKCS11_AES_GCM,
    SEAL_TYPES,
    SHAMIR,
    SHAMIR_HYBRID,
    TPM,
    TPM_SEALED,
    TRANSIT,
    TRANSIT_METHOD,
)

from .drawn import drawn

CREATED_AT_MS = 1_700_000_000_000
METHOD_OF_TYPE = {TPM: TPM_SEALED, PKCS11: PKCS11_AES_GCM, TRANSIT: TRANSIT_METHOD, SHAMIR: SHAMIR_HYBRID}

Entry = Generation | Seal | Member | Record | Link


@dataclass
class Workshop:
    """One cluster. `label` is in every byte that is drawn for it."""

    label: str
    cluster_id: bytes = b""
    seal_keys: dict[bytes, bytes] = field(default_factory=dict)
    """By generation id."""
    keks: dict[bytes, bytes] = field(default_factory=dict)
    """By sealed KEK."""
    types: dict[bytes, int] = field(default_factory=dict)
    """Seal types by seal id."""

    def drawn(self, label: str, length: int) -> bytes:
        return drawn(f"{self.label}: {label}", length)

    def first(self, name: str = "g1", **fields: Any) -> Generation:
        seal_key = self.new_seal_key(name)
        self.cluster_id = key_schedule.cluster_id(key_schedule.public_signing_key(seal_key))
        return self.generation(seal_key, signer=seal_key, number=1, parent_id=NO_PARENT, **fields)

    def after(self, parent: Generation, name: str, **fields: Any) -> Generation:
        given = {"number": parent.number + 1, "parent_id": parent.id, **fields}
        return self.generation(self.new_seal_key(name), signer=self.seal_keys[parent.id], **given)

    def new_seal_key(self, name: str) -> bytes:
        seal_key = self.drawn(f"seal key {name}", 32)
        self.seal_keys[key_schedule.generation_id(seal_key)] = seal_key
        return seal_key

    def generation(
        self,
        seal_key: bytes,
        *,
        signer: bytes,
        number: int,
        parent_id: bytes,
        step: int = CHAINED,
        state: int = GEN_ACTIVE,
        key_id: bytes | None = None,
        id: bytes | None = None,
        signing_key: bytes | None = None,
        **signed_as: Any,
    ) -> Generation:
        """Signed by `signer`. `signed_as` names fields of the message that are not those of the generation."""
        fields = {
            "number": number,
            "id": key_schedule.generation_id(seal_key) if id is None else id,
            "parent_id": parent_id,
            "step": step,
            "key_id": key_schedule.key_id(seal_key) if key_id is None else key_id,
            "signing_key": key_schedule.public_signing_key(seal_key) if signing_key is None else signing_key,
        }
        shown = {name.removeprefix("signed_"): value for name, value in signed_as.items()}
        message = key_schedule.lineage_message(**{"cluster": self.cluster_id, **fields, **shown})
        return Generation(**fields, state=state, signature=key_schedule.sign(signer, message))

    def seal(self, seal_type: int, name: str, *, now_named: str | None = None, **fields: Any) -> Seal:
        seal_id = key_schedule.seal_id(self.cluster_id, seal_type, name.encode())
        self.types[seal_id] = seal_type
        return Seal(seal_id, seal_type, (name if now_named is None else now_named).encode(), **fields)

    def member(self, seal: Seal, label: str, *, public_key_bytes: int = 0, **fields: Any) -> Member:
        seal_type = SEAL_TYPES[seal.seal_type]
        member_id = self.drawn(f"member id {seal_type} {label}", 16)
        wrapping_key = self.drawn(f"wrapping key {seal_type} {label}", public_key_bytes)
        given = {"member_id": member_id, "wrapping_key": wrapping_key, **fields}
        return Member(seal_id=seal.seal_id, label=label.encode(), **given)

    def record(
        self,
        member: Member,
        generation: Generation,
        method: int = 0,
        *,
        kek: bytes | None = None,
        seal_key: bytes | None = None,
        sealed_kek: bytes | None = None,
        again: str = "",
        bound: dict[int, bytes] | None = None,
        **fields: Any,
    ) -> Record:
        """`again` tells apart two records of one member and generation; `bound` puts other fields into the context."""
        about = f"{member.seal_id.hex()} {member.label.decode()} {generation.id.hex()}{again}"
        seal_type = self.types[member.seal_id]
        method = method or METHOD_OF_TYPE[seal_type]
        sealed_kek = self.drawn(f"sealed kek {about}", 24) if sealed_kek is None else sealed_kek
        kek = self.drawn(f"kek {about}", 32) if kek is None else kek
        self.keks[sealed_kek] = kek
        context = [
            self.cluster_id,
            member.seal_id,
            bytes([seal_type]),
            member.member_id,
            generation.id,
            bytes([method]),
        ]
        wrapped_key = envelope.encrypt(
            envelope.RECORD,
            kek,
            hashlib.sha256(sealed_kek).digest(),
            [(bound or {}).get(index, part) for index, part in enumerate(context)],
            self.drawn(f"record nonce {about}", 24),
            self.seal_keys[generation.id] if seal_key is None else seal_key,
        )
        given = {"created_at_ms": CREATED_AT_MS, **fields}
        return Record(member.seal_id, member.member_id, generation.id, method, sealed_kek, wrapped_key, **given)

    def link(
        self,
        parent: Generation,
        to: Generation,
        *,
        key: bytes | None = None,
        seal_key: bytes | None = None,
        bound: dict[int, bytes] | None = None,
    ) -> Link:
        context = [self.cluster_id, parent.id, to.id]
        wrapped_key = envelope.encrypt(
            envelope.LINK,
            key_schedule.link_key(self.seal_keys[parent.id], self.cluster_id) if key is None else key,
            parent.key_id,
            [(bound or {}).get(index, part) for index, part in enumerate(context)],
            self.drawn(f"link nonce {to.id.hex()}", 24),
            self.seal_keys[to.id] if seal_key is None else seal_key,
        )
        return Link(to.id, wrapped_key)

    def failing(self, link: Link) -> Link:
        """The link with the last bit of its tag changed."""
        return replace(link, wrapped_key=link.wrapped_key[:-1] + bytes([link.wrapped_key[-1] ^ 1]))

    def blob(self, generation: Generation, aad: bytes, plaintext: bytes) -> bytes:
        return envelope.encrypt(
            envelope.BLOB,
            key_schedule.blob_key(self.seal_keys[generation.id], self.cluster_id),
            generation.key_id,
            [self.cluster_id, aad],
            self.drawn(f"blob nonce {generation.id.hex()}", 24),
            plaintext,
        )

    def keyring(self, revision: int, *entries: Entry) -> Keyring:
        """The entries in the order of the format, under the MAC of the current generation."""

        def of(kind: type) -> list[Any]:
            return sorted((entry for entry in entries if isinstance(entry, kind)), key=lambda entry: entry.sort_key)

        lists = (of(kind) for kind in (Generation, Seal, Member, Record, Link))
        return self.maced(Keyring(self.cluster_id, revision, *lists))

    def maced(self, keyring: Keyring) -> Keyring:
        return self.maced_by(Lineage(keyring.generations).current(), keyring)

    def maced_by(self, generation: Generation, keyring: Keyring) -> Keyring:
        seal_key = self.seal_keys[generation.id]
        return replace(keyring, mac=key_schedule.mac(seal_key, self.cluster_id, keyring.authenticated_bytes()))


def by_id(*generations: Generation) -> list[Generation]:
    """Siblings, the lowest id first: which one that is, the drawn bytes decide."""
    return sorted(generations, key=lambda generation: generation.id)
