"""vectors/keyring/not-opened.json: each keyring decodes, and opening it fails with the code."""

from dataclasses import replace
from typing import Any

from cases.sources import COMPUTED
from format import key_schedule
from format.keyring import Generation, Keyring, Link, Member, Record
from format.refused import Refused
from format.registry import BROKEN, GEN_PENDING, GEN_RETIRED, PKCS11, TPM, TPM_IMPORTED

from .asking import Asking
from .workshop import Workshop

AUTH_FAILED = "KEYRING_AUTH_FAILED"
NO_RECORD = "KEYRING_NO_RECORD"
LINK_BROKEN = "KEYRING_LINK_BROKEN"
RECORD_AUTH_FAILED = "KEYRING_RECORD_AUTH_FAILED"
OTHER_KEY = "KEYRING_OTHER_KEY"


class Sample:
    """Three chained generations; two seals of one type and one of another; two members."""

    def __init__(self, label: str = "not opened") -> None:
        self.w = w = Workshop(label)
        self.g1 = w.first()
        self.g2 = w.after(self.g1, "g2")
        self.g3 = w.after(self.g2, "g3")
        self.generations = [self.g1, self.g2, self.g3]
        self.links = [w.link(self.g1, self.g2), w.link(self.g2, self.g3)]
        self.seal = w.seal(TPM, "tpm")
        self.other_seal = w.seal(TPM, "tpm-b")
        self.token_seal = w.seal(PKCS11, "hsm")
        self.seals = [self.seal, self.other_seal, self.token_seal]
        self.member = w.member(self.seal, "node-1")
        self.other = w.member(self.seal, "node-2")
        self.namesake = w.member(self.other_seal, "node-1", member_id=self.member.member_id)
        self.members = [self.member, self.other, self.namesake]
        self.of_member = w.record(self.member, self.g1)
        self.of_namesake = w.record(self.namesake, self.g2)

    def keyring(self, *, records: list[Record] | None = None, links: list[Link] | None = None) -> Keyring:
        return self.w.keyring(
            *(9, *self.generations, *self.seals, *self.members),
            *([self.of_member, self.of_namesake] if records is None else records),
            *(self.links if links is None else links),
        )


def cases() -> list[dict[str, Any]]:
    sample = Sample()
    return [*_macs(sample), *_no_records(sample), *_records(sample), *_links(sample), *_out_of_reach(), *_plain(sample)]


def _macs(s: Sample) -> list[dict[str, Any]]:
    keyring = s.keyring()
    flipped = bytes([keyring.mac[0] ^ 1]) + keyring.mac[1:]
    other = Sample("another cluster").keyring()
    renamed = [replace(s.seal, name=b"other"), *s.seals[1:]]
    newer = replace(s.of_member, entry_version=2)
    moved_on = [replace(s.g1, state=GEN_RETIRED), s.g2, s.g3]
    taken_back = [s.g1, s.g2, replace(s.g3, state=GEN_PENDING)]
    changed = {
        "MAC by an older generation": s.w.maced_by(s.g2, keyring),
        "MAC by the first generation": s.w.maced_by(s.g1, keyring),
        "MAC of zeros": replace(keyring, mac=bytes(32)),
        "MAC with one bit changed": replace(keyring, mac=flipped),
        "MAC of another cluster": replace(keyring, mac=other.mac),
        "under the old MAC: another revision": replace(keyring, revision=10),
        "under the old MAC: a seal renamed": replace(keyring, seals=sorted(renamed, key=lambda seal: seal.sort_key)),
        "under the old MAC: a member left out": replace(
            keyring, members=[m for m in keyring.members if m is not s.other]
        ),
        "under the old MAC: another entry version": replace(
            keyring, records=[newer if record is s.of_member else record for record in keyring.records]
        ),
        "under the old MAC: the record of another member left out": replace(keyring, records=[s.of_member]),
        "under the old MAC: a generation that became retired": replace(keyring, generations=moved_on),
        "under the old MAC: the current generation taken back to pending": replace(keyring, generations=taken_back),
    }
    return [_case(s.w, name, each, s.member, AUTH_FAILED, [s.of_member]) for name, each in changed.items()]


def _no_records(s: Sample) -> list[dict[str, Any]]:
    stranger = s.w.member(s.seal, "stranger")
    in_no_seal = replace(s.member, seal_id=s.w.drawn("no seal", 16))
    only_namesake = s.keyring(records=[s.of_namesake])
    return [
        _case(s.w, "a member without a record", s.keyring(), s.other, NO_RECORD, []),
        _case(s.w, "a member that is not listed", s.keyring(), stranger, NO_RECORD, []),
        _case(s.w, "a seal that is not listed", s.keyring(), in_no_seal, NO_RECORD, []),
        _case(s.w, "a record of the same member id in another seal only", only_namesake, s.member, NO_RECORD, []),
    ]


def _records(s: Sample) -> list[dict[str, Any]]:
    w = s.w

    def bound(index: int, value: bytes) -> Record:
        return w.record(s.member, s.g1, bound={index: value})

    def case(name: str, record: Record, **answer: Any) -> dict[str, Any]:
        # A record of a later generation stands beside it: no second try is made.
        later = w.record(s.member, s.g2)
        keyring = s.keyring(records=[record, later, s.of_namesake])
        return _case(w, name, keyring, s.member, RECORD_AUTH_FAILED, [record], **answer)

    record = s.of_member
    tag_flipped = replace(record, wrapped_key=_flipped(record.wrapped_key, -1))
    ciphertext_flipped = replace(record, wrapped_key=_flipped(record.wrapped_key, -17))
    nonce_flipped = replace(record, wrapped_key=_flipped(record.wrapped_key, 8 + 32))
    other_method = replace(record, method=TPM_IMPORTED)
    kek = w.keks[record.sealed_kek]
    moved = replace(w.record(s.other, s.g1), member_id=s.member.member_id)
    from_other_seal = replace(w.record(s.namesake, s.g1), seal_id=s.seal.seal_id)
    of_later = replace(w.record(s.member, s.g3), generation_id=s.g1.id)
    seal_key_of_g2 = w.record(s.member, s.g1, seal_key=w.seal_keys[s.g2.id], again=" wrong key")
    return [
        case("a record with a bit of the tag changed", tag_flipped),
        case("a record with a bit of the ciphertext changed", ciphertext_flipped),
        case("a record with a bit of the nonce changed", nonce_flipped),
        case("a record under another KEK", record, answers={record.sealed_kek: w.drawn("another kek", 32)}),
        case("a KEK of 31 bytes", record, answers={record.sealed_kek: kek[:31]}),
        case("a KEK of 33 bytes", record, answers={record.sealed_kek: kek + b"\0"}),
        case("a KEK of no bytes", record, answers={record.sealed_kek: b""}),
        case("a record bound to another cluster", bound(0, w.drawn("another cluster", 16))),
        case("a record bound to another seal", bound(1, s.other_seal.seal_id)),
        case("a record bound to another seal type", bound(2, bytes([PKCS11]))),
        case("a record bound to another member", bound(3, s.other.member_id)),
        case("a record bound to another generation", bound(4, s.g2.id)),
        case("a record bound to another method", bound(5, bytes([TPM_IMPORTED]))),
        case("a record whose method was changed", other_method),
        case("a record moved from another member", moved),
        case("a record moved from another seal", from_other_seal),
        case("a record moved from another generation", of_later),
        case("a record that holds the key of another generation", seal_key_of_g2),
    ]


def _links(s: Sample) -> list[dict[str, Any]]:
    w = s.w
    to_g2, to_g3 = s.links

    def case(name: str, link: Link, parent: Generation = s.g2) -> dict[str, Any]:
        kept = to_g2 if parent is s.g2 else to_g3
        return _case(w, name, s.keyring(links=[kept, link]), s.member, LINK_BROKEN, [s.of_member])

    def bound(index: int, value: bytes) -> Link:
        return w.link(s.g2, s.g3, bound={index: value})

    flipped = replace(to_g3, wrapped_key=_flipped(to_g3.wrapped_key, -1))
    first_flipped = replace(to_g2, wrapped_key=_flipped(to_g2.wrapped_key, -1))
    by_seal_key = w.link(s.g2, s.g3, key=w.seal_keys[s.g2.id])
    by_grandparent = w.link(s.g2, s.g3, key=_link_key_of(w, s.g1))
    wrong_key = w.link(s.g2, s.g3, seal_key=w.drawn("another seal key", 32))
    parent_again = w.link(s.g2, s.g3, seal_key=w.seal_keys[s.g2.id])
    return [
        case("a link with a bit of the tag changed", flipped),
        case("the first link with a bit of the tag changed", first_flipped, s.g1),
        case("a link under the seal key itself", by_seal_key),
        case("a link under the link key of the first generation", by_grandparent),
        case("a link that holds another key", wrong_key),
        case("a link that holds the key of the parent", parent_again),
        case("a link bound to another cluster", bound(0, w.drawn("another cluster", 16))),
        case("a link bound to another parent", bound(1, s.g1.id)),
        case("a link bound to another generation", bound(2, s.g2.id)),
    ]


def _out_of_reach() -> list[dict[str, Any]]:
    w = Workshop("out of reach")
    g1 = w.first()
    g2 = w.after(g1, "g2")
    sibling = w.after(g1, "sibling", state=GEN_RETIRED)
    b3 = w.after(g2, "b3", step=BROKEN)
    g4 = w.after(b3, "g4")
    pending = w.after(g4, "g5", state=GEN_PENDING)
    generations = [g1, g2, sibling, b3, g4, pending]
    seal = w.seal(TPM, "tpm")
    way_in = w.member(seal, "way-in")
    member = w.member(seal, "node-1")
    links = [w.link(g1, g2), w.link(g1, sibling), w.link(b3, g4), w.link(g4, pending)]

    def case(name: str, of: list[Generation], missing: Link | None = None) -> dict[str, Any]:
        kept = [link for link in links if link is not missing]
        records = [w.record(way_in, g4), *(w.record(member, generation) for generation in of)]
        keyring = w.keyring(3, *generations, seal, way_in, member, *records, *kept)
        return _case(w, name, keyring, member, LINK_BROKEN, [])

    return [
        case("a record from before the break", [g1]),
        case("two records from before the break", [g1, g2]),
        case("a record of a sibling", [sibling]),
        case("a record of a generation that is still pending", [pending]),
        case("a link is missing", [b3], links[2]),
    ]


def _plain(s: Sample) -> list[dict[str, Any]]:
    w = s.w
    keyring = s.keyring(links=s.links[1:])
    pending = w.after(s.g3, "g4", state=GEN_PENDING)
    links = (*s.links, w.link(s.g3, pending))
    with_pending = w.keyring(9, *s.generations, pending, *s.seals, *s.members, s.of_namesake, *links)

    def case(name: str, keyring: Keyring, seal_key: bytes, code: str) -> dict[str, Any]:
        return _refusal(Asking(w, keyring, seal_key=seal_key), f"a plain seal key: {name}", code)

    forged = replace(s.links[1], wrapped_key=_flipped(s.links[1].wrapped_key, -1))
    return [
        case("of no generation", keyring, w.drawn("no generation", 32), OTHER_KEY),
        case("of another cluster", keyring, Sample("another cluster").w.new_seal_key("g1"), OTHER_KEY),
        case("no link leads on", keyring, w.seal_keys[s.g1.id], LINK_BROKEN),
        case("of a pending generation", with_pending, w.seal_keys[pending.id], LINK_BROKEN),
        case("a link fails", s.keyring(links=[s.links[0], forged]), w.seal_keys[s.g1.id], LINK_BROKEN),
        case("MAC of zeros", replace(s.keyring(), mac=bytes(32)), w.seal_keys[s.g1.id], AUTH_FAILED),
    ]


def _link_key_of(workshop: Workshop, generation: Generation) -> bytes:
    return key_schedule.link_key(workshop.seal_keys[generation.id], workshop.cluster_id)


def _flipped(data: bytes, index: int) -> bytes:
    changed = bytearray(data)
    changed[index] ^= 1
    return bytes(changed)


def _case(
    workshop: Workshop,
    name: str,
    keyring: Keyring,
    member: Member,
    code: str,
    asked: list[Record],
    answers: dict[bytes, bytes] | None = None,
) -> dict[str, Any]:
    asking = Asking(workshop, keyring, member, answers=answers or {})
    vector = _refusal(asking, name, code)
    if asking.asked != [record.sealed_kek for record in asked]:
        raise SystemExit(f"{name}: the member was asked otherwise than expected")
    return vector


def _refusal(asking: Asking, name: str, code: str) -> dict[str, Any]:
    try:
        asking.open()
    except Refused as refused:
        if refused.code != code:
            raise SystemExit(f"{name}: {refused}, not {code}") from refused
        return {"name": name, "source": COMPUTED, **asking.inputs(), "code": code}
    raise SystemExit(f"{name}: it opens")
