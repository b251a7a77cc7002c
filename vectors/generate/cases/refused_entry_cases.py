"""Rules 3 to 5 of section 5: seals and members."""

from dataclasses import replace
from typing import Any

from format.registry import PKCS11, TPM

from .refused_sample import MALFORMED, TOO_LARGE, UNSUPPORTED, Sample, refusal


def entry_cases(s: Sample) -> list[dict[str, Any]]:
    return [*_seals(s), *_members(s)]


def _seals(s: Sample) -> list[dict[str, Any]]:
    keyring = s.keyring()
    seals = keyring.seals
    other_type = s.w.seal(PKCS11, "tpm", entry_version=2)
    many = [s.w.seal(TPM, f"s{index}") for index in range(64)]
    return [
        refusal("seals not in order", replace(keyring, seals=seals[::-1]), MALFORMED),
        refusal("a seal twice", replace(keyring, seals=sorted([*seals, s.gone], key=lambda e: e.sort_key)), MALFORMED),
        refusal("two active seals of one name", s.keyring(other_type), MALFORMED),
        refusal("a seal with entry version 0", s.changed(s.token, entry_version=0), MALFORMED),
        refusal("a seal of an unknown type", s.changed(s.token, seal_type=5), UNSUPPORTED),
        refusal("a seal of type 0", s.changed(s.token, seal_type=0), MALFORMED),
        refusal("a seal in an unknown state", s.changed(s.token, state=3), UNSUPPORTED),
        refusal("a seal in state 0", s.changed(s.token, state=0), MALFORMED),
        refusal("a seal with an empty name", s.changed(s.token, name=b""), MALFORMED),
        refusal("a seal with a name of 65 characters", s.changed(s.token, name=b"n" * 65), MALFORMED, TOO_LARGE),
        refusal("a seal with a space in its name", s.changed(s.token, name=b"h s m"), MALFORMED),
        refusal("65 seals", s.small(*many), TOO_LARGE),
    ]


def _members(s: Sample) -> list[dict[str, Any]]:
    keyring = s.keyring()
    members = keyring.members
    of_no_seal = replace(s.w.member(s.tpm, "x"), seal_id=s.w.drawn("no seal", 16))
    twice = sorted([*members, s.left], key=lambda each: each.sort_key)
    many = [s.w.member(s.tpm, f"{index}") for index in range(1024)]
    return [
        refusal("members not in order", replace(keyring, members=members[::-1]), MALFORMED),
        refusal("a member twice", replace(keyring, members=twice), MALFORMED),
        refusal("a member of no seal", s.keyring(of_no_seal), MALFORMED),
        refusal("a removed member with a wrapping key", s.changed(s.left, wrapping_key=b"\1"), MALFORMED),
        refusal("a removed member with data", s.changed(s.left, data=b"\1"), MALFORMED),
        refusal("a member with entry version 0", s.changed(s.node_1, entry_version=0), MALFORMED),
        refusal("a member in an unknown state", s.changed(s.left, state=3), UNSUPPORTED),
        refusal("a member in state 0", s.changed(s.left, state=0), MALFORMED),
        refusal("a member with an empty label", s.changed(s.left, label=b""), MALFORMED),
        refusal("a member with a label of 65 characters", s.changed(s.left, label=b"l" * 65), MALFORMED, TOO_LARGE),
        refusal("a member with a tab in its label", s.changed(s.left, label=b"a\tb"), MALFORMED),
        refusal("a wrapping key of 4,097 bytes", s.changed(s.node_1, wrapping_key=bytes(4097)), TOO_LARGE),
        refusal("data of 8,193 bytes", s.changed(s.node_1, data=bytes(8193)), TOO_LARGE),
        refusal("1,025 members", s.small(*many), TOO_LARGE),
    ]
