"""vectors/keyring/refused.json: bytes that are no keyring, each for one reason where the format lets it be one."""

from dataclasses import replace
from typing import Any

from format.refused import Refused
from format.rules import decode

from . import forged_cases
from .refused_entry_cases import entry_cases
from .refused_generation_cases import generation_cases
from .refused_record_cases import record_cases
from .refused_sample import MALFORMED, TOO_LARGE, UNSUPPORTED, Sample, refusal


def cases() -> list[dict[str, Any]]:
    sample = Sample()
    decode(sample.keyring().encoded())
    decode(sample.small().encoded())
    parts = (_whole, generation_cases, entry_cases, record_cases, forged_cases.cases)
    return [_checked(case) for part in parts for case in part(sample)]


def _whole(s: Sample) -> list[dict[str, Any]]:
    keyring = s.small()
    data = keyring.encoded()
    links_count_at = len(data) - 32 - 2
    largest = _as_long_as(s, 851_968)
    decode(largest)
    return [
        refusal("empty", b"", MALFORMED),
        refusal("magic alone", b"SWKR", MALFORMED),
        refusal("an envelope", s.record_1.wrapped_key, MALFORMED),
        refusal("magic in lower case", b"swkr" + data[4:], MALFORMED),
        refusal("format version 0", data[:4] + b"\0" + data[5:], MALFORMED),
        refusal("format version 2", data[:4] + b"\2" + data[5:], UNSUPPORTED),
        refusal("format version 255", data[:4] + b"\xff" + data[5:], UNSUPPORTED),
        refusal("one byte left over", data + b"\0", MALFORMED),
        refusal("one byte short", data[:-1], MALFORMED),
        refusal("no MAC", data[:-32], MALFORMED),
        refusal("nothing after the cluster id", data[:21], MALFORMED),
        refusal("twice", data + data, MALFORMED),
        refusal("revision 0", replace(keyring, revision=0), MALFORMED),
        refusal("revision of 2^53", replace(keyring, revision=2**53), MALFORMED),
        refusal("revision of 2^64 - 1", replace(keyring, revision=2**64 - 1), MALFORMED),
        refusal("a link that the bytes do not hold", data[:links_count_at] + b"\0\1" + bytes(32), MALFORMED),
        _with_zeros_left_out(refusal("851,969 bytes", _as_long_as(s, 851_969), TOO_LARGE)),
    ]


def _as_long_as(s: Sample, byte_length: int) -> bytes:
    """Members whose data is zeros fill it up."""
    members = []
    missing = byte_length - len(s.small().encoded())
    while missing > 0:
        member = s.w.member(s.tpm, f"fill-{len(members):03}")
        bare = len(member.encoded())
        # The last two share what is left, so that neither is shorter than a member without data.
        data_bytes = min(8192, missing - bare) if missing <= 8192 + bare or missing >= 2 * (8192 + bare) else 4096
        members.append(replace(member, data=bytes(data_bytes)))
        missing -= bare + data_bytes
    return s.small(*members).encoded()


def _with_zeros_left_out(vector: dict[str, Any]) -> dict[str, Any]:
    """Runs of 1,000 zero bytes and more are named by offset and count, and put back in that order by who reads."""
    data = bytes.fromhex(vector["keyring"])
    kept, zeros, offset = b"", [], 0
    while offset < len(data):
        end = offset
        while end < len(data) and data[end] == 0:
            end += 1
        if end - offset >= 1000:
            zeros.append({"offset": offset, "count": end - offset})
        else:
            end = max(end, offset + 1)
            kept += data[offset:end]
        offset = end
    return {**vector, "keyring": kept.hex(), "zeros": zeros}


def _checked(vector: dict[str, Any]) -> dict[str, Any]:
    data = bytes.fromhex(vector["keyring"])
    for run in vector.get("zeros", []):
        data = data[: run["offset"]] + bytes(run["count"]) + data[run["offset"] :]
    try:
        decode(data)
    except Refused as refused:
        if refused.code not in (vector["code"], vector.get("orCode")):
            raise SystemExit(f"{vector['name']}: {refused}, not {vector['code']}") from refused
        return vector
    raise SystemExit(f"{vector['name']}: it decodes")
