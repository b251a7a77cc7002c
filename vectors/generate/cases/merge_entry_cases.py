"""Section 9, 3 to 6: seals, members, records, links, revisions."""

from dataclasses import replace
from typing import Any

from format.keyring import Seal
from format.registry import REMOVED, SHAMIR, TPM, TPM_IMPORTED, TRANSIT

from .merging_sample import Sample, merging


def entry_cases(s: Sample) -> list[dict[str, Any]]:
    return [*_revisions(s), *_winners(s), *_removals(s), *_names(s)]


def _revisions(s: Sample) -> list[dict[str, Any]]:
    held = s.held(s.g1)
    more = s.w.member(s.token, "token-a")
    other = s.w.member(s.token, "token-b")
    record, other_record = s.w.record(more, s.g1), s.w.record(other, s.g1)
    base = s.keyring(5)

    def case(name: str, ours: Any, theirs: Any, expected: Any) -> dict[str, Any]:
        return merging(f"revision: {name}", ours, theirs, held, expected)

    return [
        case("the same keyring twice", base, base, base),
        case("one is ahead", base, s.keyring(6, more, record), s.keyring(6, more, record)),
        case("one has more, at the same revision", base, s.keyring(5, more), s.keyring(5, more)),
        case("one has more, at a lower revision", base, s.keyring(3, more), s.keyring(6, more)),
        case("the same but for the revision", base, s.keyring(9), s.keyring(9)),
        case(
            "each has something of its own",
            *(s.keyring(8, more, record), s.keyring(6, other, other_record)),
            s.keyring(9, more, record, other, other_record),
        ),
        case(
            "each has something of its own, at the same revision",
            *(s.keyring(6, more), s.keyring(6, other, other_record)),
            s.keyring(7, more, other, other_record),
        ),
    ]


def _winners(s: Sample) -> list[dict[str, Any]]:
    held = s.held(s.g1)

    def case(name: str, one: Any, other: Any, winner: Any) -> dict[str, Any]:
        """Both sides have the entry at one revision; neither has anything else of its own."""
        return merging(name, s.keyring(4, one), s.keyring(4, other), held, s.keyring(4, winner))

    renamed = replace(s.token, entry_version=2, name=b"a")
    removed_token = replace(s.token, entry_version=3, state=REMOVED)
    relabelled = replace(s.node_2, entry_version=2, label=b"a")
    newer_record = s.w.record(s.node_2, s.g1, TPM_IMPORTED, again=" newer", entry_version=2)
    same_version = s.w.record(s.node_2, s.g1, TPM_IMPORTED, again=" same version")
    later = replace(s.record_2, created_at_ms=s.record_2.created_at_ms + 1)
    wide = replace(s.node_2, entry_version=256)
    narrow = replace(s.node_2, entry_version=255, label=b"z")
    other_key = replace(s.node_2, wrapping_key=b"\xff")
    other_token = replace(s.token, name=b"hsn")
    shorter_token = replace(s.token, name=b"zz")
    re_made = replace(s.token, entry_version=4)
    return [
        case("a seal renamed on one side", s.token, renamed, renamed),
        case("a seal removed on one side", s.token, removed_token, removed_token),
        case("a seal removed, and made again", removed_token, re_made, re_made),
        case("a member with another label on one side", s.node_2, relabelled, relabelled),
        case("an entry version of 256 over one of 255", narrow, wide, wide),
        case("one version, another wrapping key: the longer one", s.node_2, other_key, s.node_2),
        case("one version, another name", s.token, other_token, other_token),
        case("one version, a shorter name", shorter_token, s.token, s.token),
        case("a record superseded on one side", s.record_2, newer_record, newer_record),
        case("one version, another method", s.record_2, same_version, same_version),
        case("one version, another time", s.record_2, later, later),
    ]


def _removals(s: Sample) -> list[dict[str, Any]]:
    held = s.held(s.g1)
    gone = replace(s.node_2, entry_version=2, state=REMOVED, wrapping_key=b"")
    without = (s.record_2,)
    relabelled = replace(s.node_2, entry_version=2, label=b"zzzzzzzz")
    re_made = replace(s.node_2, entry_version=3)
    token_gone = replace(s.token, entry_version=2, state=REMOVED)
    token = s.w.member(s.token, "token-a")
    token_record = s.w.record(token, s.g1)
    newer_record = s.w.record(s.node_2, s.g1, again=" newer", entry_version=9)
    many = [s.w.seal(TPM, f"seal-{index}") for index in range(64)]
    node_1_gone = replace(s.node_1, entry_version=2, state=REMOVED)
    return [
        merging(
            "a member removed on one side, its record newer on the other",
            *(s.keyring(8, gone, without=without), s.keyring(6, newer_record)),
            *(held, s.keyring(8, gone, without=without)),
        ),
        merging(
            "removed wins over another label of the same version",
            *(s.keyring(6, gone, without=without), s.keyring(6, relabelled)),
            *(held, s.keyring(6, gone, without=without)),
        ),
        merging(
            "a member made again wins over its removal",
            *(s.keyring(6, gone, without=without), s.keyring(7, re_made)),
            *(held, s.keyring(7, re_made)),
        ),
        merging(
            "a seal removed on one side, used on the other",
            *(s.keyring(6, token_gone), s.keyring(6, token, token_record)),
            *(held, s.keyring(7, token_gone, token)),
        ),
        merging(
            "each removes what the other keeps: no way in",
            s.keyring(6, gone, without=without),
            s.keyring(6, node_1_gone, without=(s.record_1,)),
            *(held, "KEYRING_NO_WAY_IN"),
        ),
        merging(
            "more seals than there may be",
            s.keyring(6, *many[:40]),
            s.keyring(6, *many[40:]),
            held,
            "KEYRING_TOO_LARGE",
        ),
    ]


def _names(s: Sample) -> list[dict[str, Any]]:
    held = s.held(s.g1)
    w = s.w

    def apart(seal: Seal) -> Seal:
        suffix = b"-" + seal.seal_id[:4].hex().encode()
        return replace(seal, name=seal.name[: 64 - len(suffix)] + suffix)

    def case(name: str, one: Seal, other: Seal) -> dict[str, Any]:
        first, second = sorted((one, other), key=lambda seal: seal.seal_id)
        expected = s.keyring(5, first, apart(second))
        return merging(f"names: {name}", s.keyring(4, one), s.keyring(4, other), held, expected)

    long = "n" * 64
    removed = w.seal(TRANSIT, "gone", state=REMOVED, entry_version=2)
    active = w.seal(SHAMIR, "gone")
    return [
        case("two seals of one name", w.seal(TRANSIT, "backup"), w.seal(SHAMIR, "backup")),
        case(
            "a seal renamed to a name that the other side gives",
            replace(s.token, name=b"x", entry_version=2),
            w.seal(TPM, "x"),
        ),
        case("names of 64 characters are cut", w.seal(TRANSIT, long), w.seal(SHAMIR, long)),
        case("names of 56 characters are cut by one", w.seal(TRANSIT, long[:56]), w.seal(SHAMIR, long[:56])),
        case("names of 55 characters are kept", w.seal(TRANSIT, long[:55]), w.seal(SHAMIR, long[:55])),
        merging(
            "names: a removed seal keeps its name",
            *(s.keyring(4, removed), s.keyring(4, active)),
            *(held, s.keyring(5, removed, active)),
        ),
    ]
