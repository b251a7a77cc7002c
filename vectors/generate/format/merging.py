"""Retiring and merging: docs/formats/keyring.md sections 7.6 and 9."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from . import key_schedule
from .keyring import Generation, Keyring, Link, Record, Seal
from .lineage import Lineage
from .opening import check_mac
from .reader import read_keyring
from .refused import Refused
from .registry import ACTIVE, GEN_RETIRED, NAME_MAX_BYTES
from .rules import check_rules


def merge(ours: Keyring, theirs: Keyring, seal_keys: dict[bytes, bytes]) -> Keyring:
    """Section 9. `seal_keys` are those held, by generation id."""
    sides = (ours, theirs)
    if ours.cluster_id != theirs.cluster_id:
        raise Refused("KEYRING_OTHER_CLUSTER", "another cluster id")
    for side in sides:
        current = Lineage(side.generations).current()
        if current.id not in seal_keys:
            raise Refused("KEYRING_KEY_UNKNOWN", "the key of a current generation is not held")
        check_mac(side, seal_keys[current.id])

    ours_given_up, theirs_given_up = _is_given_up(ours, theirs), _is_given_up(theirs, ours)
    if ours_given_up and theirs_given_up:
        raise Refused("KEYRING_DIVERGED", "each side broke the chain where the other did not")
    if ours_given_up or theirs_given_up:
        return theirs if ours_given_up else ours
    generations = _united_generations(sides)
    if len({generation.key_id for generation in generations}) < len(generations):
        raise Refused("KEYRING_DIVERGED", "two generations of one key id")

    united = Keyring(
        cluster_id=ours.cluster_id,
        revision=max(side.revision for side in sides),
        generations=generations,
        seals=_with_names_apart(_united(side.seals for side in sides)),
        members=_united(side.members for side in sides),
        records=_united(side.records for side in sides),
        links=_united_links(sides),
    )
    merged = tidied(_without_records_of_removed(united))
    newest = [side for side in sides if side.revision == merged.revision]
    if not any(_equal_but_for_mac(merged, side) for side in newest):
        merged = replace(merged, revision=merged.revision + 1)
    return _checked(with_mac(merged, seal_keys))


def with_mac(keyring: Keyring, seal_keys: dict[bytes, bytes]) -> Keyring:
    current = Lineage(keyring.generations).current()
    if current.id not in seal_keys:
        raise Refused("KEYRING_KEY_UNKNOWN", "the key of the current generation is not held")
    seal_key = seal_keys[current.id]
    return replace(keyring, mac=key_schedule.mac(seal_key, keyring.cluster_id, keyring.authenticated_bytes()))


def tidied(keyring: Keyring) -> Keyring:
    """Section 7.6: without what retired generations no longer need."""
    lineage = Lineage(keyring.generations)
    current = lineage.current()
    in_use = [generation for generation in keyring.generations if generation.state != GEN_RETIRED]

    def reached_by(records: list[Record], generation: Generation) -> bool:
        starts = [lineage.by_id[record.generation_id] for record in records]
        return any(lineage.links_lead(keyring.links, start, generation) for start in starts)

    def is_spare(record: Record) -> bool:
        """True if its member loses nothing by it: neither the current generation nor another that is in use."""
        if lineage.by_id[record.generation_id] in in_use:
            return False
        newer = [r for r in keyring.records if r.holder == record.holder and lineage.by_id[r.generation_id] in in_use]
        needed = [current, *(generation for generation in in_use if reached_by([record], generation))]
        return all(reached_by(newer, generation) for generation in needed)

    def leads_on(link: Link) -> bool:
        parent = lineage.by_id[lineage.by_id[link.to].parent_id]
        return parent in in_use or reached_by(records, parent)

    records = [record for record in keyring.records if not is_spare(record)]
    return replace(keyring, records=records, links=[link for link in keyring.links if leads_on(link)])


def _united_generations(sides: tuple[Keyring, Keyring]) -> list[Generation]:
    by_id: dict[bytes, Generation] = {}
    for generation in (generation for side in sides for generation in side.generations):
        known = by_id.get(generation.id, generation)
        if replace(known, state=generation.state) != generation:
            raise Refused("KEYRING_DIVERGED", "a generation that is not the same on both sides")
        by_id[generation.id] = max(known, generation, key=lambda either: either.state)
    generations = sorted(by_id.values(), key=lambda generation: generation.sort_key)
    if sum(generation.number == 1 for generation in generations) > 1:
        raise Refused("KEYRING_DIVERGED", "two first generations")
    return generations


def _united_links(sides: tuple[Keyring, Keyring]) -> list[Link]:
    by_id: dict[bytes, Link] = {}
    for link in (link for side in sides for link in side.links):
        if by_id.setdefault(link.to, link) != link:
            raise Refused("KEYRING_DIVERGED", "a link that is not the same on both sides")
    return [by_id[to] for to in sorted(by_id)]


def _is_given_up(side: Keyring, other: Keyring) -> bool:
    """Each side by itself: in a union of states, who holds an old key could hide a break by calling it retired."""
    return not _breaks(other) <= _breaks(side)


def _breaks(side: Keyring) -> set[tuple[bytes, bytes]]:
    """The broken steps that the current generation comes after, by the keys that they lead to."""
    lineage = Lineage(side.generations)
    return {(broken.id, broken.signing_key) for broken in lineage.breaks_before(lineage.current())}


def _united(lists: Iterable[list[Any]]) -> list[Any]:
    by_key: dict[Any, Any] = {}
    for entry in (entry for entries in lists for entry in entries):
        known = by_key.get(entry.sort_key, entry)
        by_key[entry.sort_key] = max(known, entry, key=lambda either: either.encoded())
    return [by_key[key] for key in sorted(by_key)]


def _with_names_apart(seals: list[Seal]) -> list[Seal]:
    taken: set[bytes] = set()
    named = []
    for seal in seals:
        suffix = b"-" + seal.seal_id[:4].hex().encode()
        if seal.state == ACTIVE and seal.name in taken:
            seal = replace(seal, name=seal.name[: NAME_MAX_BYTES - len(suffix)] + suffix)
        if seal.state == ACTIVE:
            taken.add(seal.name)
        named.append(seal)
    return named


def _without_records_of_removed(keyring: Keyring) -> Keyring:
    seals = {seal.seal_id for seal in keyring.seals if seal.state == ACTIVE}
    members = {member.sort_key for member in keyring.members if member.state == ACTIVE}
    records = [record for record in keyring.records if record.seal_id in seals and record.holder in members]
    return replace(keyring, records=records)


def _checked(keyring: Keyring) -> Keyring:
    """Section 9, 7: the result keeps the rules, bounds counted."""
    check_rules(read_keyring(keyring.encoded()))
    return keyring


def _equal_but_for_mac(a: Keyring, b: Keyring) -> bool:
    return a.authenticated_bytes() == b.authenticated_bytes()
