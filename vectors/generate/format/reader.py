"""Reads the fields of docs/formats/keyring.md sections 2 and 3. The rules between the fields are in rules.py."""

from collections.abc import Callable
from typing import TypeVar

from . import registry
from .keyring import FORMAT_VERSION, MAC_BYTES, MAGIC, Generation, Keyring, Link, Member, Record, Seal
from .refused import Refused

Entry = TypeVar("Entry")


def read_keyring(data: bytes) -> Keyring:
    if len(data) > registry.KEYRING_MAX_BYTES:
        raise Refused("KEYRING_TOO_LARGE", "the whole")
    fields = _Fields(data)
    if fields.take(4) != MAGIC:
        raise Refused("KEYRING_MALFORMED", "no keyring")
    version = fields.number(1)
    if version > FORMAT_VERSION:
        raise Refused("KEYRING_UNSUPPORTED", f"format version {version}")
    if version < FORMAT_VERSION:
        raise Refused("KEYRING_MALFORMED", "format version 0")
    keyring = Keyring(
        cluster_id=fields.take(16),
        revision=fields.u64(lowest=1),
        generations=fields.entries(registry.GENERATIONS_MAX, _generation),
        seals=fields.entries(registry.SEALS_MAX, _seal),
        members=fields.entries(registry.MEMBERS_MAX, _member),
        records=fields.entries(registry.RECORDS_MAX, _record),
        links=fields.entries(registry.LINKS_MAX, _link),
        mac=fields.take(MAC_BYTES),
    )
    fields.end()
    return keyring


class _Fields:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0

    def take(self, length: int) -> bytes:
        end = self.offset + length
        if end > len(self.data):
            raise Refused("KEYRING_MALFORMED", "the bytes end early")
        taken = self.data[self.offset : end]
        self.offset = end
        return taken

    def end(self) -> None:
        if self.offset != len(self.data):
            raise Refused("KEYRING_MALFORMED", "bytes are left over")

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width))

    def u64(self, lowest: int) -> int:
        value = self.number(8)
        if not lowest <= value < registry.U64_LIMIT:
            raise Refused("KEYRING_MALFORMED", f"a u64 of {value}")
        return value

    def version(self) -> int:
        value = self.number(4)
        if value == 0:
            raise Refused("KEYRING_MALFORMED", "a version of 0")
        return value

    def known(self, numbers: set[int]) -> int:
        """A number of section 4. The document leaves open what 0 is; we take it as the envelope does."""
        value = self.number(1)
        if value == 0:
            raise Refused("KEYRING_MALFORMED", "a number that is never given")
        if value not in numbers:
            raise Refused("KEYRING_UNSUPPORTED", f"the number {value}")
        return value

    def name(self) -> bytes:
        length = self.number(1)
        if length > registry.NAME_MAX_BYTES:
            raise Refused("KEYRING_TOO_LARGE", f"a name of {length} characters")
        name = self.take(length)
        if length == 0 or any(not 0x21 <= character <= 0x7E for character in name):
            raise Refused("KEYRING_MALFORMED", "a name that is empty or has other characters")
        return name

    def bytes(self, at_most: int, at_least: int = 0) -> bytes:
        length = self.number(2)
        if length > at_most:
            raise Refused("KEYRING_TOO_LARGE", f"{length} bytes")
        if length < at_least:
            raise Refused("KEYRING_MALFORMED", "an empty field")
        return self.take(length)

    def entries(self, at_most: int, read_entry: Callable[["_Fields"], Entry]) -> list[Entry]:
        count = self.number(2)
        if count > at_most:
            raise Refused("KEYRING_TOO_LARGE", f"{count} entries")
        return [read_entry(self) for _ in range(count)]


_STATES = {registry.ACTIVE, registry.REMOVED}
_STEPS = {registry.CHAINED, registry.BROKEN}
_GENERATION_STATES = {registry.GEN_PENDING, registry.GEN_ACTIVE, registry.GEN_RETIRED}


# Keyword arguments are evaluated in the order in which they stand: that of section 3.


def _generation(fields: _Fields) -> Generation:
    return Generation(
        number=fields.number(4),
        id=fields.take(16),
        parent_id=fields.take(16),
        step=fields.known(_STEPS),
        state=fields.known(_GENERATION_STATES),
        key_id=fields.name(),
        signing_key=fields.take(32),
        signature=fields.take(64),
    )


def _seal(fields: _Fields) -> Seal:
    return Seal(
        seal_id=fields.take(16),
        entry_version=fields.version(),
        state=fields.known(_STATES),
        seal_type=fields.known(set(registry.SEAL_TYPES)),
        name=fields.name(),
    )


def _member(fields: _Fields) -> Member:
    return Member(
        seal_id=fields.take(16),
        member_id=fields.take(16),
        entry_version=fields.version(),
        state=fields.known(_STATES),
        label=fields.name(),
        wrapping_key=fields.bytes(at_most=registry.WRAPPING_KEY_MAX_BYTES),
        data=fields.bytes(at_most=registry.DATA_MAX_BYTES),
    )


def _record(fields: _Fields) -> Record:
    return Record(
        seal_id=fields.take(16),
        member_id=fields.take(16),
        generation_id=fields.take(16),
        entry_version=fields.version(),
        method=fields.known(set(registry.METHODS)),
        created_at_ms=fields.u64(lowest=0),
        sealed_kek=fields.bytes(at_most=registry.SEALED_KEK_MAX_BYTES, at_least=1),
        wrapped_key=fields.bytes(at_most=registry.WRAPPED_KEY_MAX_BYTES),
    )


def _link(fields: _Fields) -> Link:
    return Link(to=fields.take(16), wrapped_key=fields.bytes(at_most=registry.WRAPPED_KEY_MAX_BYTES))
