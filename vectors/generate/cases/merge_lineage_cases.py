"""Section 9, 1, 2 and 5: generations, sides that are given up, and what retired generations leave."""

from dataclasses import replace
from typing import Any

from format.keyring import Generation, Keyring
from format.registry import BROKEN, CHAINED, GEN_PENDING, GEN_RETIRED, NO_PARENT, TPM

from .merging_sample import Sample, merging
from .workshop import by_id


def lineage_cases() -> list[dict[str, Any]]:
    return [
        *_generations(Sample()),
        *_given_up(Sample()),
        *_diverged(Sample()),
        *_retired(Sample()),
        *_versions(Sample("versions")),
    ]


def _in(state: int, generation: Generation) -> Generation:
    # The signature does not cover the state.
    return replace(generation, state=state)


def _generations(s: Sample) -> list[dict[str, Any]]:
    w = s.w
    g2 = w.after(s.g1, "g2")
    low, high = by_id(g2, w.after(s.g1, "g2 too"))
    g3 = w.after(g2, "g3")
    to_g2, to_g3 = w.link(s.g1, g2), w.link(g2, g3)
    to_low, to_high = w.link(s.g1, low), w.link(s.g1, high)
    held = s.held(s.g1, low, high, g3)
    pending, retired_first = _in(GEN_PENDING, g2), _in(GEN_RETIRED, s.g1)
    broken = w.after(s.g1, "b2", step=BROKEN, state=GEN_PENDING)
    member = w.member(s.tpm, "node-3")
    extra = (member, w.record(member, s.g1))
    return [
        merging("one rotated", s.keyring(5), s.keyring(6, g2, to_g2), held, s.keyring(6, g2, to_g2)),
        merging(
            "one rotated twice, the other added a member",
            *(s.keyring(8, g2, g3, to_g2, to_g3), s.keyring(7, *extra)),
            *(held, s.keyring(9, g2, g3, to_g2, to_g3, *extra)),
        ),
        merging(
            "both rotated: siblings",
            *(s.keyring(6, low, to_low), s.keyring(6, high, to_high)),
            *(held, s.keyring(7, low, high, to_low, to_high)),
        ),
        merging(
            "pending on one side, active on the other",
            *(s.keyring(6, pending, to_g2), s.keyring(7, g2, to_g2)),
            *(held, s.keyring(7, g2, to_g2)),
        ),
        merging(
            "active on the side with the lower revision",
            *(s.keyring(8, pending, to_g2), s.keyring(7, g2, to_g2)),
            *(held, s.keyring(9, g2, to_g2)),
        ),
        merging(
            "a pending break gives nobody up",
            *(s.keyring(6, broken), s.keyring(6, *extra)),
            *(held, s.keyring(7, broken, *extra)),
        ),
        merging(
            "retired on one side, rotated on the other",
            s.keyring(6, retired_first, g2, to_g2),
            s.keyring(7, g2, g3, to_g2, to_g3),
            *(held, s.keyring(8, retired_first, g2, g3, to_g2, to_g3)),
        ),
    ]


def _given_up(s: Sample) -> list[dict[str, Any]]:
    w = s.w
    g2 = w.after(s.g1, "g2")
    b2 = w.after(s.g1, "b2", step=BROKEN)
    b3 = w.after(b2, "b3", step=BROKEN)
    c3 = w.after(b2, "c3")
    c4 = w.after(c3, "c4")
    g3 = w.after(g2, "g3")
    held = s.held(s.g1, g2, b2, c3, c4, g3, b3)
    to_g2, to_g3, to_c3, to_c4 = w.link(s.g1, g2), w.link(g2, g3), w.link(b2, c3), w.link(c3, c4)
    member = w.member(s.tpm, "node-3")
    extra = (member, w.record(member, s.g1))
    gone = replace(s.tpm, entry_version=9, name=b"taken")
    of_b2, of_b3 = w.record(s.node_1, b2), w.record(s.node_1, b3)
    ours = s.keyring(6, b2, of_b2)
    chained = s.keyring(7, b2, c3, c4, of_b2, to_c3, to_c4)

    def given_up(name: str, theirs: Any, kept: Any = ours) -> dict[str, Any]:
        return merging(f"given up: {name}", kept, theirs, held, kept)

    return [
        given_up("who does not know of the break", s.keyring(5)),
        given_up("at a higher revision, with more members", s.keyring(20, *extra)),
        given_up("with newer entries", s.keyring(20, gone)),
        given_up("with a chained generation beside the break", s.keyring(9, g2, to_g2)),
        given_up("with a higher number", s.keyring(9, g2, g3, to_g2, to_g3)),
        given_up("who has the break pending", s.keyring(9, _in(GEN_PENDING, b2), of_b2)),
        given_up("who knows one break of two", ours, s.keyring(5, b2, b3, of_b3)),
        given_up("who went on after the first break", chained, s.keyring(5, b2, b3, of_b3)),
        given_up("who calls the break retired", s.keyring(9, _in(GEN_RETIRED, b2))),
        given_up(
            "who has the break retired and went on beside it", s.keyring(9, _in(GEN_RETIRED, b2), g2, g3, to_g2, to_g3)
        ),
        merging(
            "after the same break nobody is given up",
            *(s.keyring(6, b2, of_b2, *extra), chained),
            *(held, s.keyring(8, b2, c3, c4, of_b2, to_c3, to_c4, *extra)),
        ),
    ]


def _diverged(s: Sample) -> list[dict[str, Any]]:
    w = s.w
    g2, b2, b2_too = w.after(s.g1, "g2"), w.after(s.g1, "b2", step=BROKEN), w.after(s.g1, "b2 too", step=BROKEN)
    b3, b3_beside = w.after(g2, "b3", step=BROKEN), w.after(b2_too, "b3 beside", step=BROKEN)
    to_g2 = w.link(s.g1, g2)
    held = s.held(s.g1, g2, b2, b2_too, b3, b3_beside)
    after_b2 = s.keyring(6, b2, w.record(s.node_1, b2))

    def case(name: str, theirs: Keyring, ours: Keyring = after_b2) -> dict[str, Any]:
        return merging(f"diverged: {name}", ours, theirs, held, "KEYRING_DIVERGED")

    def said(name: str, one: Generation, other: Generation) -> dict[str, Any]:
        """Two statements of one generation, both signed by the one before it."""
        return case(name, s.keyring(6, other), s.keyring(5, one))

    def again(**fields: Any) -> Generation:
        seal_key = w.seal_keys[g2.id]
        given = {"number": 2, "parent_id": s.g1.id, "state": GEN_PENDING, **fields}
        return w.generation(seal_key, signer=w.seal_keys[s.g1.id], **given)

    pending = _in(GEN_PENDING, g2)
    same_key_id = w.after(s.g1, "same key id", key_id=g2.key_id, state=GEN_PENDING)
    root = {"signer": w.seal_keys[s.g1.id], "signing_key": s.g1.signing_key}
    first_again = w.generation(w.new_seal_key("first again"), number=1, parent_id=NO_PARENT, **root)
    other_first = w.keyring(5, first_again, s.tpm, s.node_1, w.record(s.node_1, first_again))
    return [
        case("two breaks beside each other", s.keyring(6, b2_too, w.record(s.node_1, b2_too))),
        case("two breaks at different numbers", s.keyring(6, g2, to_g2, b3, w.record(s.node_1, b3))),
        case("one break, and two beside it", s.keyring(6, b2_too, b3_beside, w.record(s.node_1, b3_beside))),
        case("each has the break of the other retired", *_retired_by_the_other(s, b2, b2_too)),
        said("a generation with another key id", pending, again(key_id=b"another")),
        said("a generation with another step", pending, again(step=BROKEN)),
        said("a generation with another signing key", pending, again(signing_key=s.g1.signing_key)),
        said("two generations of one key id", pending, same_key_id),
        case("two links to one generation", s.keyring(6, g2, w.failing(to_g2)), s.keyring(5, pending, to_g2)),
        merging(
            "diverged: two first generations",
            *(s.keyring(5), other_first),
            *({**held, **s.held(first_again)}, "KEYRING_DIVERGED"),
        ),
    ]


def _retired_by_the_other(s: Sample, one: Generation, other: Generation) -> list[Keyring]:
    return [
        s.keyring(6, own, _in(GEN_RETIRED, others), s.w.record(s.node_1, own))
        for own, others in ((one, other), (other, one))
    ]


def _retired(s: Sample) -> list[dict[str, Any]]:
    w = s.w
    g2 = w.after(s.g1, "g2")
    b3 = w.after(g2, "b3", step=BROKEN)
    g4 = w.after(b3, "g4")
    old_1, old_2 = _in(GEN_RETIRED, s.g1), _in(GEN_RETIRED, g2)
    to_g2, to_g4 = w.link(s.g1, g2), w.link(b3, g4)
    held = s.held(s.g1, g2, b3, g4)
    both = (w.record(s.node_1, b3), w.record(s.node_2, b3))
    of_g2, of_g4 = w.record(s.node_2, g2), w.record(s.node_2, g4)
    seal = w.seal(TPM, "later")
    late = w.member(seal, "late")
    of_late = w.record(late, g2)
    every = (g2, b3, to_g2)
    after = (old_1, old_2, b3, *both)
    originals = (s.record_1, s.record_2)
    return [
        merging(
            "retired: records of members that have others go, links with them",
            *(s.keyring(8, *every, *both), s.keyring(9, *after, without=originals)),
            *(held, s.keyring(9, *after, without=originals)),
        ),
        merging(
            "retired: what only one side has of it goes",
            s.keyring(9, *every, *both, seal, late),
            s.keyring(9, old_1, old_2, b3, to_g2, *both),
            *(held, s.keyring(10, *after, seal, late, without=originals)),
        ),
        merging(
            "retired: the record of a member without another stays, and so do its links",
            s.keyring(9, *every, both[0], s.record_2),
            s.keyring(9, old_1, old_2, b3, both[0], without=(s.record_1, s.record_2)),
            *(held, s.keyring(10, old_1, old_2, b3, to_g2, both[0], without=(s.record_1,))),
        ),
        merging(
            "retired: a record of the second generation keeps no link to it",
            s.keyring(9, *every, *both, seal, late, of_late),
            s.keyring(9, *after, seal, late, without=originals),
            *(held, s.keyring(10, *after, seal, late, of_late, without=originals)),
        ),
        merging(
            "retired: a record from which no link leads to the current generation does not do",
            s.keyring(9, *every, g4, *both, of_g4),
            s.keyring(9, old_1, old_2, b3, g4, both[0], of_g4),
            *(held, s.keyring(10, old_1, old_2, b3, g4, to_g2, *both, of_g4, without=(s.record_2,))),
        ),
        merging(
            "retired: a record that leads to a generation in use stays",
            s.keyring(9, *every, *both),
            s.keyring(9, old_1, g2, b3, both[0], both[1], of_g2, to_g2, without=(s.record_1,)),
            *(held, s.keyring(10, old_1, g2, b3, to_g2, *both, of_g2, without=(s.record_2,))),
        ),
        merging(
            "retired on both sides, and a link of the current generation",
            s.keyring(9, old_1, g2, b3, g4, to_g2, to_g4, *both, without=originals),
            s.keyring(9, old_1, old_2, b3, both[0], both[1], without=originals),
            *(held, s.keyring(10, old_1, old_2, b3, g4, to_g4, *both, without=originals)),
        ),
    ]


def _versions(s: Sample) -> list[dict[str, Any]]:
    """Who has the key of a parent can sign other things of a generation that follows it."""
    w = s.w
    g2, b2 = w.after(s.g1, "g2"), w.after(s.g1, "b2", step=BROKEN)
    b3, b3_of_b2 = w.after(g2, "b3", step=BROKEN), w.after(b2, "b3 of b2", step=BROKEN)

    def again(generation: Generation, **fields: Any) -> Generation:
        given = {name: getattr(generation, name) for name in ("number", "parent_id", "step", "state")}
        signer = w.seal_keys.get(generation.parent_id, w.seal_keys[s.g1.id])
        return w.generation(w.seal_keys[generation.id], signer=signer, **{**given, **fields})

    other_g2, other_b2 = again(g2, key_id=b"another"), again(b2, key_id=b"another")
    to_g2, to_other_g2 = w.link(s.g1, g2), w.link(s.g1, other_g2)
    of_b2, of_b3, of_b3_of_b2 = (w.record(s.node_1, each) for each in (b2, b3, b3_of_b2))
    chained_b2 = again(b2, key_id=b"chained", step=CHAINED)
    own = w.after(s.g1, "own", state=GEN_PENDING)
    taken_b2 = again(b2, key_id=b"taken", signing_key=own.signing_key)
    own_c3, own_b3 = (
        w.generation(w.new_seal_key(name), signer=w.seal_keys[own.id], number=3, parent_id=b2.id, **fields)
        for name, fields in (("own c3", {}), ("own b3", {"step": BROKEN}))
    )
    first_again = again(s.g1, key_id=b"another")
    held = s.held(s.g1, g2, b2, b3, b3_of_b2, own_c3, own_b3)
    after_b2 = s.keyring(6, b2, of_b2)

    def given_up(name: str, theirs: Keyring, kept: Keyring = after_b2) -> dict[str, Any]:
        return merging(f"versions: given up {name}", kept, theirs, held, kept)

    def diverged(name: str, theirs: Keyring, ours: Keyring = after_b2) -> dict[str, Any]:
        return merging(f"versions: diverged {name}", ours, theirs, held, "KEYRING_DIVERGED")

    def pending_twin(twin: Generation) -> Keyring:
        return s.keyring(9, _in(GEN_PENDING, twin))

    def gone_on(generation: Generation) -> Keyring:
        return s.keyring(9, taken_b2, generation, w.record(s.node_1, generation))

    return [
        given_up("who has the break pending under another key id", pending_twin(other_b2)),
        given_up("who has the break pending as a chained step", pending_twin(chained_b2)),
        given_up("who has the break pending with another signing key", pending_twin(taken_b2)),
        given_up(
            "who has another version of the generation before the break",
            s.keyring(9, other_g2, to_other_g2),
            s.keyring(8, g2, b3, to_g2, of_b3),
        ),
        given_up(
            "who has another version of the first of two breaks",
            s.keyring(9, other_b2, of_b2),
            s.keyring(8, b2, b3_of_b2, of_b2, of_b3_of_b2),
        ),
        given_up("who has another version of the first generation", s.keyring(9, first_again)),
        diverged("while nobody breaks the chain", s.keyring(6, other_g2, to_other_g2), s.keyring(6, g2, to_g2)),
        diverged("with two versions of one break", s.keyring(6, other_b2, of_b2)),
        diverged("with a chained step from a break of another signing key", gone_on(own_c3)),
        diverged("with a broken step from a break of another signing key", gone_on(own_b3)),
    ]
