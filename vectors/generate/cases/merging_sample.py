"""Two keyrings of one cluster, and what comes of merging them."""

from typing import Any

from cases.sources import COMPUTED
from format.keyring import Generation, Keyring
from format.merging import merge
from format.refused import Refused
from format.registry import PKCS11, TPM
from format.rules import decode

from .workshop import Entry, Workshop


class Sample:
    """What both sides of most merges begin with: one generation, two seals, two members with a record each."""

    def __init__(self, label: str = "merge") -> None:
        self.w = w = Workshop(label)
        self.g1 = w.first()
        self.tpm = w.seal(TPM, "tpm")
        self.token = w.seal(PKCS11, "hsm")
        self.node_1 = w.member(self.tpm, "node-1")
        self.node_2 = w.member(self.tpm, "node-2", public_key_bytes=8)
        self.record_1 = w.record(self.node_1, self.g1)
        self.record_2 = w.record(self.node_2, self.g1)
        self.entries: list[Entry] = [
            self.g1,
            self.tpm,
            self.token,
            self.node_1,
            self.node_2,
            self.record_1,
            self.record_2,
        ]

    def keyring(self, revision: int, *more: Entry, without: tuple[Entry, ...] = ()) -> Keyring:
        """What both begin with, and more. An entry takes the place of one with its sort key."""
        placed = {_place(entry): entry for entry in (*self.entries, *more) if entry not in without}
        return self.w.keyring(revision, *placed.values())

    def held(self, *generations: Generation) -> dict[bytes, bytes]:
        return {generation.id: self.w.seal_keys[generation.id] for generation in generations}


def merging(
    name: str, ours: Keyring, theirs: Keyring, seal_keys: dict[bytes, bytes], expected: Keyring | str
) -> dict[str, Any]:
    """One vector; fails unless the merge gives what is expected, in either order, and again with either side."""
    vector = {
        "name": name,
        "source": COMPUTED,
        "ours": ours.encoded().hex(),
        "theirs": theirs.encoded().hex(),
        "sealKeys": [seal_key.hex() for seal_key in seal_keys.values()],
    }
    decode(ours.encoded())
    decode(theirs.encoded())
    if isinstance(expected, str):
        for sides in ((ours, theirs), (theirs, ours)):
            _fails(name, *sides, seal_keys, expected)
        return {**vector, "code": expected}
    decode(expected.encoded())
    for sides in ((ours, theirs), (theirs, ours), (expected, ours), (theirs, expected), (expected, expected)):
        if merge(*sides, seal_keys) != expected:
            raise SystemExit(f"{name}: another result than expected")
    return {**vector, "merged": expected.encoded().hex()}


def _fails(name: str, ours: Keyring, theirs: Keyring, seal_keys: dict[bytes, bytes], code: str) -> None:
    try:
        merge(ours, theirs, seal_keys)
    except Refused as refused:
        if refused.code != code:
            raise SystemExit(f"{name}: {refused}, not {code}") from refused
        return
    raise SystemExit(f"{name}: they merge")


def _place(entry: Entry) -> tuple[type, Any]:
    return (type(entry), entry.sort_key)
