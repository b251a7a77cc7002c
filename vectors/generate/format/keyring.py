"""The fields of docs/formats/keyring.md section 3, and how they are written."""

from dataclasses import dataclass

from .registry import ACTIVE, CHAINED, GEN_ACTIVE, NO_PARENT

MAGIC = b"SWKR"
FORMAT_VERSION = 1
MAC_BYTES = 32


@dataclass(frozen=True)
class Generation:
    number: int
    id: bytes
    key_id: bytes
    signing_key: bytes
    signature: bytes
    parent_id: bytes = NO_PARENT
    step: int = CHAINED
    state: int = GEN_ACTIVE

    @property
    def sort_key(self) -> tuple[int, bytes]:
        return (self.number, self.id)

    def encoded(self) -> bytes:
        return b"".join(
            [
                self.number.to_bytes(4),
                self.id,
                self.parent_id,
                bytes([self.step, self.state]),
                name_field(self.key_id),
                self.signing_key,
                self.signature,
            ]
        )


@dataclass(frozen=True)
class Seal:
    seal_id: bytes
    seal_type: int
    name: bytes
    entry_version: int = 1
    state: int = ACTIVE

    @property
    def sort_key(self) -> bytes:
        return self.seal_id

    def encoded(self) -> bytes:
        header = self.seal_id + self.entry_version.to_bytes(4)
        return header + bytes([self.state, self.seal_type]) + name_field(self.name)


@dataclass(frozen=True)
class Member:
    seal_id: bytes
    member_id: bytes
    label: bytes
    wrapping_key: bytes = b""
    data: bytes = b""
    entry_version: int = 1
    state: int = ACTIVE

    @property
    def sort_key(self) -> tuple[bytes, bytes]:
        return (self.seal_id, self.member_id)

    def encoded(self) -> bytes:
        return b"".join(
            [
                self.seal_id,
                self.member_id,
                self.entry_version.to_bytes(4),
                bytes([self.state]),
                name_field(self.label),
                bytes_field(self.wrapping_key),
                bytes_field(self.data),
            ]
        )


@dataclass(frozen=True)
class Record:
    seal_id: bytes
    member_id: bytes
    generation_id: bytes
    method: int
    sealed_kek: bytes
    wrapped_key: bytes
    created_at_ms: int
    entry_version: int = 1

    @property
    def holder(self) -> tuple[bytes, bytes]:
        return (self.seal_id, self.member_id)

    @property
    def sort_key(self) -> tuple[bytes, bytes, bytes]:
        return (self.seal_id, self.member_id, self.generation_id)

    def encoded(self) -> bytes:
        return b"".join(
            [
                self.seal_id,
                self.member_id,
                self.generation_id,
                self.entry_version.to_bytes(4),
                bytes([self.method]),
                self.created_at_ms.to_bytes(8),
                bytes_field(self.sealed_kek),
                bytes_field(self.wrapped_key),
            ]
        )


@dataclass(frozen=True)
class Link:
    to: bytes
    wrapped_key: bytes

    @property
    def sort_key(self) -> bytes:
        return self.to

    def encoded(self) -> bytes:
        return self.to + bytes_field(self.wrapped_key)


@dataclass(frozen=True)
class Keyring:
    """`mac` is the last field of the bytes; every list is in the order of section 5."""

    cluster_id: bytes
    revision: int
    generations: list[Generation]
    seals: list[Seal]
    members: list[Member]
    records: list[Record]
    links: list[Link]
    mac: bytes = bytes(MAC_BYTES)

    def authenticated_bytes(self) -> bytes:
        """Every byte before the MAC. Writes what it is given, broken rules and all."""
        parts = [MAGIC, bytes([FORMAT_VERSION]), self.cluster_id, self.revision.to_bytes(8)]
        for entries in (self.generations, self.seals, self.members, self.records, self.links):
            parts.append(len(entries).to_bytes(2))
            parts.extend(entry.encoded() for entry in entries)
        return b"".join(parts)

    def encoded(self) -> bytes:
        return self.authenticated_bytes() + self.mac


def name_field(name: bytes) -> bytes:
    return bytes([len(name)]) + name


def bytes_field(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data
