"""Rule 2 of section 5, and the fields of a generation. Each is signed by its parent: nothing is forged."""

from dataclasses import replace
from typing import Any

from format.keyring import Generation, Keyring
from format.registry import BROKEN, GEN_PENDING, GEN_RETIRED, NO_PARENT

from .refused_sample import MALFORMED, TOO_LARGE, UNSUPPORTED, Sample, refusal


def generation_cases(s: Sample) -> list[dict[str, Any]]:
    return [*_fields(s), *_names(s), *_order(s), *_parents(s), *_states(s)]


def _fields(s: Sample) -> list[dict[str, Any]]:
    pending = {"state": GEN_PENDING}
    return [
        refusal("a generation with an unknown step", _with(s, s.w.after(s.g1, "x", step=3, **pending)), UNSUPPORTED),
        refusal("a generation with step 0", _with(s, s.w.after(s.g1, "x", step=0, **pending)), MALFORMED),
        refusal("a generation in an unknown state", _with(s, s.w.after(s.g1, "x", state=4)), UNSUPPORTED),
        refusal("a generation in state 0", _with(s, s.w.after(s.g1, "x", state=0)), MALFORMED),
        refusal("257 generations", _many(s), TOO_LARGE),
    ]


def _names(s: Sample) -> list[dict[str, Any]]:
    def case(name: str, key_id: bytes, or_code: str | None = None) -> dict[str, Any]:
        return refusal(name, _with(s, s.w.after(s.g1, "x", key_id=key_id, state=GEN_PENDING)), MALFORMED, or_code)

    return [
        case("an empty key id", b""),
        case("a key id of 65 characters", b"k" * 65, TOO_LARGE),
        case("a key id with a space", b"sw 1"),
        case("a key id with a line break", b"sw\n1"),
        case("a key id with a zero byte", b"sw\0"),
        case("a key id with a delete", b"sw\x7f"),
        case("a key id that is not ASCII", "schlüssel".encode()),
        case("a key id twice", s.g2.key_id),
    ]


def _order(s: Sample) -> list[dict[str, Any]]:
    keyring = s.keyring()
    first, *later = keyring.generations
    same_id = s.w.after(s.g2, "x", id=s.g2.id, state=GEN_PENDING)
    return [
        refusal("generations not in order of number", replace(keyring, generations=[*later, first]), MALFORMED),
        refusal("siblings not in order of id", replace(keyring, generations=[first, *later[::-1]]), MALFORMED),
        refusal("a generation twice", replace(keyring, generations=[first, *later, later[-1]]), MALFORMED),
        refusal("an id under two numbers", _with(s, same_id), MALFORMED),
        refusal("an id of zeros", _with(s, s.w.after(s.g1, "x", id=NO_PARENT, state=GEN_PENDING)), MALFORMED),
    ]


def _parents(s: Sample) -> list[dict[str, Any]]:
    first_key, second_key = s.w.seal_keys[s.g1.id], s.w.seal_keys[s.g2.id]

    def made(name: str, signer: bytes, number: int, parent_id: bytes, **fields: Any) -> Generation:
        given = {"number": number, "parent_id": parent_id, "state": GEN_PENDING, **fields}
        return s.w.generation(s.w.new_seal_key(name), signer=signer, **given)

    second_first = made("x", first_key, 1, NO_PARENT, signing_key=s.g1.signing_key)
    unlisted = made("y", first_key, 2, s.w.drawn("no generation", 16))
    orphan = made("y", first_key, 2, NO_PARENT)
    number_0 = made("y", first_key, 0, s.g1.id)
    return [
        refusal("two first generations", _with(s, second_first), MALFORMED),
        refusal("a first generation with a parent", _with_first(s, parent_id=s.w.drawn("parent", 16)), MALFORMED),
        refusal("a first generation that is its own parent", _with_first(s, parent_id=s.g1.id), MALFORMED),
        refusal("a first generation after a broken step", _with_first(s, step=BROKEN), MALFORMED),
        refusal("a generation without a parent", _with(s, orphan), MALFORMED, "KEYRING_LINEAGE_FORGED"),
        refusal("a generation whose parent is not listed", _with(s, unlisted), MALFORMED, "KEYRING_LINEAGE_FORGED"),
        refusal("a generation of number 0", _with(s, number_0), MALFORMED),
        refusal("a gap in the numbers", _with(s, made("y", first_key, 3, s.g1.id)), MALFORMED),
        refusal("a parent of the same number", _with(s, made("y", second_key, 2, s.g2.id)), MALFORMED),
        refusal("a number of 2^32 - 1", _with(s, made("y", second_key, 2**32 - 1, s.g2.id)), MALFORMED),
    ]


def _states(s: Sample) -> list[dict[str, Any]]:
    def case(name: str, state: int) -> dict[str, Any]:
        keyring = s.small()
        generations = [replace(generation, state=state) for generation in keyring.generations]
        # Without a current generation there is no way to it, either.
        return refusal(name, replace(keyring, generations=generations), MALFORMED, "KEYRING_NO_WAY_IN")

    no_generation = replace(s.small(), generations=[])
    return [
        case("a pending generation alone", GEN_PENDING),
        case("a retired generation alone", GEN_RETIRED),
        refusal("no generation", no_generation, MALFORMED, "KEYRING_NO_WAY_IN"),
    ]


def _with(s: Sample, generation: Generation) -> Keyring:
    # The MAC is that of the sound keyring: nobody gets as far as checking it.
    keyring = s.keyring()
    generations = sorted([*keyring.generations, generation], key=lambda each: each.sort_key)
    return replace(keyring, generations=generations)


def _with_first(s: Sample, **fields: Any) -> Keyring:
    seal_key = s.w.seal_keys[s.g1.id]
    given = {"number": 1, "parent_id": NO_PARENT, **fields}
    keyring = s.small()
    return replace(keyring, generations=[s.w.generation(seal_key, signer=seal_key, **given)])


def _many(s: Sample) -> Keyring:
    siblings = [s.w.after(s.g1, f"sibling {index}", state=GEN_PENDING) for index in range(256)]
    return s.small(*siblings)
