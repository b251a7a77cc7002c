"""The rules of docs/formats/keyring.md section 5 that stand between fields."""

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from . import envelope
from .keyring import Generation, Keyring
from .lineage import Lineage, check_genuine
from .reader import read_keyring
from .refused import Refused
from .registry import ACTIVE, CHAINED, GEN_ACTIVE, NO_PARENT, REMOVED, SEAL_TYPE_OF_METHOD


def decode(data: bytes) -> Keyring:
    """What a reader does: sections 3 to 5, the lineage included."""
    keyring = read_keyring(data)
    check_rules(keyring)
    check_genuine(keyring.cluster_id, keyring.generations)
    return keyring


def check_rules(keyring: Keyring) -> None:
    """Rules 2 to 9."""
    _check_generations(keyring.generations)
    for entries in (keyring.seals, keyring.members, keyring.records, keyring.links):
        _check_order(entries)
    _check_seals_and_members(keyring)
    _check_records(keyring)
    _check_links(keyring)
    _check_way_in(keyring)


def _check_order(entries: Sequence[Any]) -> None:
    keys = [entry.sort_key for entry in entries]
    _require(all(a < b for a, b in pairwise(keys)), "entries out of order, or one twice")


def _check_generations(generations: list[Generation]) -> None:
    _check_order(generations)
    by_id = {generation.id: generation for generation in generations}
    _require(len(by_id) == len(generations), "an id twice")
    # Where a parent is named, this stands for none.
    _require(NO_PARENT not in by_id, "an id of zeros")
    _require(len({generation.key_id for generation in generations}) == len(generations), "a key id twice")
    firsts = [generation for generation in generations if generation.number == 1]
    _require(len(firsts) == 1, "no first generation, or two")
    _require(firsts[0].parent_id == NO_PARENT and firsts[0].step == CHAINED, "a first generation with a parent")
    for generation in generations:
        if generation.number == 1:
            continue
        parent = by_id.get(generation.parent_id)
        _require(parent is not None and parent.number + 1 == generation.number, "a parent that is not one before")
    _require(any(generation.state == GEN_ACTIVE for generation in generations), "no active generation")


def _check_seals_and_members(keyring: Keyring) -> None:
    names = [seal.name for seal in keyring.seals if seal.state == ACTIVE]
    _require(len(set(names)) == len(names), "two active seals of one name")
    seal_ids = {seal.seal_id for seal in keyring.seals}
    for member in keyring.members:
        _require(member.seal_id in seal_ids, "a member of no seal")
        if member.state == REMOVED:
            _require(member.wrapping_key == b"" and member.data == b"", "a removed member with a key or data")


def _check_records(keyring: Keyring) -> None:
    generation_ids = {generation.id for generation in keyring.generations}
    seals = {seal.seal_id: seal for seal in keyring.seals if seal.state == ACTIVE}
    members = {member.sort_key for member in keyring.members if member.state == ACTIVE}
    for record in keyring.records:
        _require(record.generation_id in generation_ids, "a record of no generation")
        _require(record.seal_id in seals and record.holder in members, "a record of nobody")
        seal = seals[record.seal_id]
        _require(SEAL_TYPE_OF_METHOD[record.method] == seal.seal_type, "a method of another seal type")
        wrapped = _wrapped_key(record.wrapped_key, envelope.RECORD)
        if wrapped.key_reference != hashlib.sha256(record.sealed_kek).digest():
            raise Refused("KEYRING_RECORD_DAMAGED", "the SHA-256 of the sealed KEK")


def _check_links(keyring: Keyring) -> None:
    by_id = {generation.id: generation for generation in keyring.generations}
    for link in keyring.links:
        to = by_id.get(link.to)
        _require(to is not None and to.number > 1 and to.step == CHAINED, "a link to where no link leads")
        wrapped = _wrapped_key(link.wrapped_key, envelope.LINK)
        _require(wrapped.key_reference == by_id[to.parent_id].key_id, "a link that names another key")


def _wrapped_key(data: bytes, purpose: int) -> envelope.Envelope:
    try:
        wrapped = envelope.parse(data)
    except Refused as refused:
        unsupported = refused.code == "ENVELOPE_UNSUPPORTED"
        raise Refused("KEYRING_UNSUPPORTED" if unsupported else "KEYRING_MALFORMED", "a wrapped key") from refused
    _require(wrapped.purpose == purpose and len(wrapped.ciphertext) == 32, "a wrapped key of another kind")
    return wrapped


def _check_way_in(keyring: Keyring) -> None:
    lineage = Lineage(keyring.generations)
    current = lineage.current()
    starts = (lineage.by_id[record.generation_id] for record in keyring.records)
    if not any(lineage.links_lead(keyring.links, start, current) for start in starts):
        raise Refused("KEYRING_NO_WAY_IN", "no record leads to the current generation")


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Refused("KEYRING_MALFORMED", otherwise)
