"""vectors/keyring/open.json"""

from itertools import pairwise
from typing import Any

from cases.sources import COMPUTED
from format.keyring import Generation, Keyring, Link, Member, Record
from format.refused import Refused
from format.registry import (
    BROKEN,
    GEN_PENDING,
    GEN_RETIRED,
    PKCS11,
    PKCS11_AES_GCM,
    PKCS11_RSA_OAEP,
    REMOVED,
    SHAMIR,
    TPM,
    TPM_IMPORTED,
    TRANSIT,
)

from .asking import Asking
from .workshop import Workshop, by_id


def cases() -> list[dict[str, Any]]:
    return [
        *_every_seal_type(),
        *_links(),
        *_links_that_fail(),
        *_broken_steps(),
        *_optional_records(),
        *_which_is_current(),
        *_plain_seal_keys(),
        *_bounds(),
    ]


def _every_seal_type() -> list[dict[str, Any]]:
    w = Workshop("open, every seal type")
    g1 = w.first(key_id=b"bootstrap-2024", state=GEN_RETIRED)
    g2 = w.after(g1, "g2")
    g3 = w.after(g2, "g3")
    tpm = w.seal(TPM, "tpm", now_named="nodes", entry_version=2)
    hsm = w.seal(PKCS11, "hsm-a")
    transit = w.seal(TRANSIT, "upstream")
    shamir = w.seal(SHAMIR, "shares")
    gone = w.seal(PKCS11, "nodes", state=REMOVED, entry_version=4)
    sealed = w.member(tpm, "node-1", public_key_bytes=90)
    imported = w.member(tpm, "node-2", public_key_bytes=90, entry_version=3)
    token = w.member(hsm, "token:slot=1")
    key_pair = w.member(hsm, "token:slot=2", public_key_bytes=64)
    upstream = w.member(transit, "https://[::1]:8200")
    shares = w.member(shamir, "3-of-5", public_key_bytes=1216, data=w.drawn("check values", 160))
    left = w.member(tpm, "node-3", state=REMOVED, entry_version=2)
    of_gone = w.member(gone, "token")
    records = {
        "tpm-sealed": (sealed, w.record(sealed, g1), [g1, g2, g3]),
        "tpm-imported": (imported, w.record(imported, g2, TPM_IMPORTED), [g2, g3]),
        "pkcs11-aes-gcm": (token, w.record(token, g1, PKCS11_AES_GCM, entry_version=7), [g1, g2, g3]),
        "pkcs11-rsa-oaep": (key_pair, w.record(key_pair, g2, PKCS11_RSA_OAEP), [g2, g3]),
        "transit": (upstream, w.record(upstream, g3), [g3]),
        "shamir-hybrid": (shares, w.record(shares, g3, created_at_ms=0), [g3]),
    }
    keyring = w.keyring(
        42,
        *(g1, g2, g3, w.link(g1, g2), w.link(g2, g3)),
        *(tpm, hsm, transit, shamir, gone),
        *(member for member, _, _ in records.values()),
        *(left, of_gone),
        *(record for _, record, _ in records.values()),
    )
    return [
        _case(w, f"by a record of the method {method}", keyring, member, held=held, asked=[record])
        for method, (member, record, held) in records.items()
    ]


def _links() -> list[dict[str, Any]]:
    w = Workshop("open, links")
    g1 = w.first()
    g2 = w.after(g1, "g2")
    sibling = w.after(g1, "sibling")
    nephew = w.after(sibling, "nephew", state=GEN_PENDING)
    g3 = w.after(g2, "g3")
    g4 = w.after(g3, "g4", state=GEN_RETIRED)
    pending = w.after(g3, "pending", state=GEN_PENDING)
    after_pending = w.after(pending, "after pending", state=GEN_PENDING)
    generations = [g1, g2, sibling, g3, nephew, g4, pending, after_pending]
    links = [w.link(g1, g2), w.link(g1, sibling), w.link(sibling, nephew), w.link(g2, g3), w.link(g3, g4)]
    links += [w.link(g3, pending), w.link(pending, after_pending)]
    seal = w.seal(TPM, "tpm")
    other_seal = w.seal(TPM, "tpm-b")
    oldest, every, middle, newest, aside = (
        w.member(seal, label) for label in ("oldest", "every", "middle", "newest", "aside")
    )
    # One member id in two seals: two members.
    namesake = w.member(other_seal, "namesake", member_id=oldest.member_id)
    r_oldest = w.record(oldest, g1)
    r_every = [w.record(every, generation) for generation in generations]
    r_middle = w.record(middle, g2)
    r_newest = w.record(newest, g3)
    r_aside = [w.record(aside, g3), w.record(aside, sibling), w.record(aside, pending)]
    r_namesake = w.record(namesake, g3)
    keyring = w.keyring(
        *(9, *generations, *links, seal, other_seal, oldest, every, middle, newest, aside, namesake),
        *(r_oldest, *r_every, r_middle, r_newest, *r_aside, r_namesake),
    )
    from_g3 = [g3, g4, pending, after_pending]
    from_sibling = [sibling, nephew]
    return [
        _case(w, "a record of the first generation: every link", keyring, oldest, held=generations, asked=[r_oldest]),
        _case(w, "a record of each generation: one is asked for", keyring, every, held=generations, asked=r_every[:1]),
        _case(w, "a record in the middle", keyring, middle, held=[g2, *from_g3], asked=[r_middle]),
        _case(w, "a record of the current generation", keyring, newest, held=from_g3, asked=[r_newest]),
        _case(w, "a record beside the way", keyring, aside, held=[*from_g3, *from_sibling], asked=r_aside[:2]),
        _case(w, "the same member id in another seal", keyring, namesake, held=from_g3, asked=[r_namesake]),
    ]


def _links_that_fail() -> list[dict[str, Any]]:
    w = Workshop("open, links that fail")
    g1 = w.first()
    g2 = w.after(g1, "g2")
    sibling = w.after(g1, "sibling")
    nephew = w.after(sibling, "nephew")
    g3 = w.after(g2, "g3")
    g4 = w.after(g3, "g4")
    pending = w.after(g4, "pending", state=GEN_PENDING)
    generations = [g1, g2, sibling, g3, nephew, g4, pending]
    seal = w.seal(TPM, "tpm")
    first, later = w.member(seal, "first"), w.member(seal, "later")
    r_first, r_later = w.record(first, g1), [w.record(later, g2), w.record(later, g1), w.record(later, g4)]
    to_g2, to_g3, to_g4 = w.link(g1, g2), w.link(g2, g3), w.link(g3, g4)
    to_sibling, to_nephew, to_pending = w.link(g1, sibling), w.link(sibling, nephew), w.link(g4, pending)

    def keyring(*links: Link) -> Keyring:
        return w.keyring(9, *generations, seal, first, later, r_first, *r_later, *links)

    beside = keyring(to_g2, to_g3, to_g4, w.failing(to_sibling), to_nephew, to_pending)
    past = keyring(to_g2, to_g3, to_g4, to_sibling, to_nephew, w.failing(to_pending))
    below = keyring(to_g2, w.failing(to_g3), to_g4, to_sibling, to_nephew, to_pending)
    way = [g1, g2, g3, g4]
    aside = [sibling, nephew]
    left_out = "one that fails beside the way: left out with what it leads to"
    return [
        _case(w, left_out, beside, first, held=[*way, pending], asked=[r_first]),
        _case(w, "one that fails past the current generation", past, first, held=[*way, *aside], asked=[r_first]),
        _case(
            w,
            "one that fails on the way: another record leads past it",
            *(below, later),
            held=[g1, g2, *aside, g4, pending],
            asked=[r_later[1], r_later[2]],
        ),
    ]


def _broken_steps() -> list[dict[str, Any]]:
    w = Workshop("open, broken steps")
    g1 = w.first()
    g2 = w.after(g1, "g2")
    b3 = w.after(g2, "b3", step=BROKEN)
    g4 = w.after(b3, "g4")
    b5 = w.after(g4, "b5", step=BROKEN, state=GEN_PENDING)
    seal = w.seal(TPM, "tpm")
    both = w.member(seal, "both")
    later = w.member(seal, "later")
    twice = w.member(seal, "twice")
    r_both = [w.record(both, b3), w.record(both, g1)]
    r_later = [w.record(later, b3), w.record(later, b5)]
    r_twice = [w.record(twice, g4), w.record(twice, g2), w.record(twice, b5)]
    entries = (w.link(g1, g2), w.link(b3, g4), seal, both, later, twice, *r_both, *r_later, *r_twice)
    keyring = w.keyring(5, g1, g2, b3, g4, b5, *entries)
    active = w.after(g4, "b5", step=BROKEN)
    after = w.keyring(6, g1, g2, b3, g4, active, *entries)
    before = "the way to the current generation first, then what was before the break"
    return [
        _case(w, before, keyring, both, held=[g1, g2, b3, g4], asked=r_both),
        _case(w, "a record of a pending generation is not asked for", keyring, later, held=[b3, g4], asked=r_later[:1]),
        _case(w, "an older record in the middle", keyring, twice, held=[g2, g4], asked=r_twice[:2]),
        _case(w, "two breaks", after, twice, held=[g2, g4, active], asked=[r_twice[2], r_twice[1], r_twice[0]]),
        _case(w, "the second break, nothing of the first", after, later, held=[b3, g4, active], asked=r_later[::-1]),
    ]


def _optional_records() -> list[dict[str, Any]]:
    w = Workshop("open, optional records")
    g1 = w.first()
    b2 = w.after(g1, "b2", step=BROKEN)
    b3 = w.after(b2, "b3", step=BROKEN)
    seal = w.seal(TPM, "tpm")
    member = w.member(seal, "node-1")
    r3, r2, r1 = (w.record(member, generation) for generation in (b3, b2, g1))
    wrong_key = w.record(member, g1, seal_key=w.seal_keys[b2.id], again=" wrong key")
    keyring = w.keyring(4, g1, b2, b3, seal, member, r3, r2, r1)
    with_wrong_key = w.keyring(4, g1, b2, b3, seal, member, r3, r2, wrong_key)
    asked = [r3, r1, r2]
    other_kek = {r1.sealed_kek: w.drawn("another kek", 32)}
    short_kek = {r1.sealed_kek: w.keks[r1.sealed_kek][:31]}
    return [
        _case(w, "a record of each of three", keyring, member, held=[g1, b2, b3], asked=asked),
        _case(w, "an optional record: another KEK", keyring, member, held=[b2, b3], asked=asked, answers=other_kek),
        _case(w, "an optional record: a short KEK", keyring, member, held=[b2, b3], asked=asked, answers=short_kek),
        _case(w, "an optional record: not unsealed", keyring, member, held=[b2, b3], asked=asked, silent=[r1]),
        _case(
            w,
            "an optional record: another key inside",
            with_wrong_key,
            member,
            held=[b2, b3],
            asked=[r3, wrong_key, r2],
        ),
        _case(w, "the last optional record: not unsealed", keyring, member, held=[g1, b3], asked=asked, silent=[r2]),
    ]


def _which_is_current() -> list[dict[str, Any]]:
    w = Workshop("open, which is current")
    g1 = w.first()
    low, high = by_id(w.after(g1, "a"), w.after(g1, "b"))
    c3 = w.after(low, "c3")
    c4 = w.after(c3, "c4")
    b2 = w.after(g1, "b2", step=BROKEN)
    b2_pending = w.after(g1, "b2", step=BROKEN, state=GEN_PENDING)
    retired = w.after(high, "retired", state=GEN_RETIRED)
    b4_retired = w.after(retired, "b4", step=BROKEN, state=GEN_RETIRED)
    g5 = w.after(b4_retired, "g5")
    b3_low, b3_high = by_id(w.after(high, "b3", step=BROKEN), w.after(low, "b3 too", step=BROKEN))
    seal = w.seal(TPM, "tpm")
    member = w.member(seal, "node-1")

    def case(name: str, current: Generation, *others: Generation) -> dict[str, Any]:
        record = w.record(member, current)
        keyring = w.keyring(2, g1, current, *others, seal, member, record)
        return _case(w, f"current: {name}", keyring, member, held=[current], asked=[record])

    return [
        case("of siblings the one with the lowest id", low, high),
        case("the highest number", c4, low, high, c3),
        case("a broken step before a higher number", b2, low, c3, c4),
        case("a pending generation does not count", c4, low, c3, b2_pending),
        case("a retired generation does not count", low, high, retired, b4_retired),
        case("an active one after a retired break", g5, high, retired, b4_retired, b2),
        case("of as many breaks the highest number", b3_low, low, high, b2),
        case("of as many breaks and one number the lowest id", b3_low, low, high, b3_high),
        case("two breaks before a higher number", w.after(b2, "b2 b3", step=BROKEN), b2, low, c3, c4),
    ]


def _plain_seal_keys() -> list[dict[str, Any]]:
    w = Workshop("open, plain seal keys")
    g1 = w.first(state=GEN_RETIRED)
    g2 = w.after(g1, "g2")
    g3 = w.after(g2, "g3")
    pending = w.after(g3, "g4", state=GEN_PENDING)
    seal = w.seal(SHAMIR, "shares")
    member = w.member(seal, "3-of-5", public_key_bytes=1216)
    links = (w.link(g1, g2), w.link(g2, g3), w.link(g3, pending))
    keyring = w.keyring(3, g1, g2, g3, pending, *links, seal, member, w.record(member, g3))

    def case(name: str, generation: Generation, held: list[Generation]) -> dict[str, Any]:
        asking = Asking(w, keyring, seal_key=w.seal_keys[generation.id])
        return _opened(asking, f"by the plain seal key of {name}", held)

    return [
        case("the first generation", g1, [g1, g2, g3, pending]),
        case("a later generation", g2, [g2, g3, pending]),
        case("the current generation", g3, [g3, pending]),
    ]


def _bounds() -> list[dict[str, Any]]:
    w = Workshop("open, bounds")
    chain = [w.first()]
    while len(chain) < 256:
        chain.append(w.after(chain[-1], f"g{len(chain) + 1}"))
    links = [w.link(parent, to) for parent, to in pairwise(chain)]
    seal = w.seal(TPM, "tpm")
    member = w.member(seal, "node-1")
    record = w.record(member, chain[0])
    keyring = w.keyring(2**53 - 1, *chain, *links, seal, member, record)
    return [_case(w, "a chain of 256 generations", keyring, member, held=chain, asked=[record], blobs_of=chain[::51])]


def _case(
    workshop: Workshop,
    name: str,
    keyring: Keyring,
    member: Member,
    *,
    held: list[Generation],
    asked: list[Record],
    silent: list[Record] | None = None,
    answers: dict[bytes, bytes] | None = None,
    blobs_of: list[Generation] | None = None,
) -> dict[str, Any]:
    asking = Asking(workshop, keyring, member, silent=silent or [], answers=answers or {})
    vector = _opened(asking, name, held, blobs_of)
    if asking.asked != [record.sealed_kek for record in asked]:
        raise SystemExit(f"{name}: the member was asked otherwise than expected")
    return vector


def _opened(
    asking: Asking, name: str, held: list[Generation], blobs_of: list[Generation] | None = None
) -> dict[str, Any]:
    opened = asking.open()
    if set(opened.seal_keys) != {generation.id for generation in held}:
        raise SystemExit(f"{name}: other generations are held than expected")
    if any(asking.workshop.seal_keys[id] != seal_key for id, seal_key in opened.seal_keys.items()):
        raise SystemExit(f"{name}: another key is held")
    blobs = []
    for generation in asking.keyring.generations if blobs_of is None else blobs_of:
        aad = asking.workshop.drawn(f"aad {generation.id.hex()}", generation.number % 3)
        plaintext = asking.workshop.drawn(f"plaintext {generation.id.hex()}", 1 + generation.number)
        blob = asking.workshop.blob(generation, aad, plaintext)
        row = {"generationId": generation.id.hex(), "aad": aad.hex(), "blob": blob.hex()}
        try:
            decrypted = opened.decrypt_blob(blob, aad)
        except Refused as refused:
            if generation in held:
                raise
            blobs.append({**row, "code": refused.code})
            continue
        if decrypted != plaintext:
            raise SystemExit(f"{name}: another plaintext")
        blobs.append({**row, "plaintext": plaintext.hex()})
    return {
        "name": name,
        "source": COMPUTED,
        **asking.inputs(),
        "clusterId": opened.keyring.cluster_id.hex(),
        "currentId": opened.current.id.hex(),
        "keyId": opened.current.key_id.decode(),
        "held": [generation.id.hex() for generation in asking.keyring.generations if generation.id in opened.seal_keys],
        "blobs": blobs,
    }
