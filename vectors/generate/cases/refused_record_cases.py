"""Rules 6 to 9 of section 5: records and links."""

import hashlib
from dataclasses import replace
from typing import Any

from format import envelope
from format.registry import GEN_ACTIVE, GEN_PENDING, PKCS11_AES_GCM

from .refused_sample import MALFORMED, TOO_LARGE, UNSUPPORTED, Sample, refusal

DAMAGED = "KEYRING_RECORD_DAMAGED"
NO_WAY_IN = "KEYRING_NO_WAY_IN"


def record_cases(s: Sample) -> list[dict[str, Any]]:
    return [*_records(s), *_wrapped_keys(s), *_links(s), *_ways_in(s)]


def _records(s: Sample) -> list[dict[str, Any]]:
    keyring = s.keyring()
    records = keyring.records
    twice = sorted([*records, s.record_2], key=lambda each: each.sort_key)
    unknown = s.w.drawn("no generation", 16)
    stranger = s.w.member(s.tpm, "stranger")
    of_gone = s.w.member(s.gone, "active")
    elsewhere = replace(s.record_2, seal_id=s.token.seal_id, method=PKCS11_AES_GCM)
    sealed_kek = s.record_2.sealed_kek
    long_kek = s.w.record(s.node_2, s.g2, sealed_kek=bytes(8193))
    no_kek = s.w.record(s.node_2, s.g2, sealed_kek=b"")
    return [
        refusal("records not in order", replace(keyring, records=records[::-1]), MALFORMED),
        refusal("a record twice", replace(keyring, records=twice), MALFORMED),
        refusal("a record of no generation", s.keyring(replace(s.record_2, generation_id=unknown)), MALFORMED),
        refusal("a record of no member", s.keyring(s.w.record(stranger, s.g1)), MALFORMED),
        refusal("a record of a member of another seal", s.keyring(elsewhere), MALFORMED),
        refusal("a record of a removed member", s.keyring(s.w.record(s.left, s.g1)), MALFORMED),
        refusal("a record of a removed seal", s.keyring(of_gone, s.w.record(of_gone, s.g1)), MALFORMED),
        refusal("a method of another seal type", s.changed(s.record_2, method=PKCS11_AES_GCM), MALFORMED),
        refusal("an unknown method", s.changed(s.record_2, method=7), UNSUPPORTED),
        refusal("method 0", s.changed(s.record_2, method=0), MALFORMED),
        refusal("a record with entry version 0", s.changed(s.record_2, entry_version=0), MALFORMED),
        refusal("a record of the time 2^53", s.changed(s.record_2, created_at_ms=2**53), MALFORMED),
        refusal("an empty sealed KEK", s.keyring(no_kek, without=(s.record_2,)), MALFORMED),
        refusal("a sealed KEK of 8,193 bytes", s.keyring(long_kek, without=(s.record_2,)), TOO_LARGE),
        refusal("a sealed KEK with a bit changed", s.changed(s.record_2, sealed_kek=_flipped(sealed_kek)), DAMAGED),
        refusal("the sealed KEK of another record", s.changed(s.record_2, sealed_kek=s.record_1.sealed_kek), DAMAGED),
        refusal("a sealed KEK with a byte more", s.changed(s.record_2, sealed_kek=sealed_kek + b"\0"), DAMAGED),
    ]


def _wrapped_keys(s: Sample) -> list[dict[str, Any]]:
    sha256 = hashlib.sha256(s.record_2.sealed_kek).digest()
    wrapped = s.record_2.wrapped_key

    def case(name: str, wrapped_key: bytes, code: str = MALFORMED, or_code: str | None = None) -> dict[str, Any]:
        return refusal(name, s.changed(s.record_2, wrapped_key=wrapped_key), code, or_code)

    def made(*, purpose: int = envelope.RECORD, reference: bytes = sha256, inside: int = 32) -> bytes:
        key, nonce = s.w.drawn("kek", 32), s.w.drawn("nonce", 24)
        return envelope.encrypt(purpose, key, reference, [], nonce, s.w.drawn("inside", inside))

    return [
        case("an empty wrapped key", b""),
        case("a wrapped key that is no envelope", b"\0" + wrapped[1:]),
        case("a wrapped key with a byte left over", wrapped + b"\0"),
        case("a wrapped key with a byte too few", wrapped[:-1]),
        # No envelope of the right kind is as long as this.
        case("a wrapped key of 257 bytes", made(reference=b"k" * 64, inside=141), TOO_LARGE, MALFORMED),
        case("a wrapped key in an envelope of version 2", _with_byte(wrapped, 4, 2), UNSUPPORTED),
        case("a wrapped key in an envelope of another algorithm", _with_byte(wrapped, 5, 2), UNSUPPORTED),
        case("a wrapped key in an envelope of an unknown purpose", _with_byte(wrapped, 6, 5), UNSUPPORTED),
        case("a wrapped key in an envelope of version 0", _with_byte(wrapped, 4, 0)),
        case("a record in an envelope for OpenBao", made(purpose=envelope.BLOB)),
        case("a record in the envelope of a link", made(purpose=envelope.LINK)),
        case("a record in an envelope for a KMS seed", made(purpose=envelope.KMS_SEED)),
        case("a record around 31 bytes", made(inside=31)),
        case("a record around 33 bytes", made(inside=33)),
        case("a record around 16 bytes", made(inside=16)),
        case("a record that names another sealed KEK", made(reference=hashlib.sha256(b"another").digest()), DAMAGED),
        case("a record that names the generation's key id", made(reference=s.g2.key_id), DAMAGED),
        case("a record that names 31 bytes of the SHA-256", made(reference=sha256[:31]), DAMAGED),
    ]


def _links(s: Sample) -> list[dict[str, Any]]:
    g3 = s.w.after(s.g2, "g3", state=GEN_PENDING)
    to_g3 = s.w.link(s.g2, g3)
    keyring = s.keyring(g3, to_g3)
    links = keyring.links
    wrapped = s.link.wrapped_key
    unlisted = s.w.after(s.g2, "unlisted", state=GEN_PENDING)

    def case(name: str, wrapped_key: bytes, code: str = MALFORMED) -> dict[str, Any]:
        return refusal(name, s.changed(s.link, wrapped_key=wrapped_key), code)

    def made(*, purpose: int = envelope.LINK, reference: bytes = s.g1.key_id, inside: int = 32) -> bytes:
        key, nonce = s.w.drawn("link key", 32), s.w.drawn("nonce", 24)
        return envelope.encrypt(purpose, key, reference, [], nonce, s.w.drawn("inside", inside))

    return [
        refusal("links not in order", replace(keyring, links=links[::-1]), MALFORMED),
        refusal("a link twice", replace(keyring, links=[links[0], *links]), MALFORMED),
        refusal("a link to no generation", s.keyring(s.w.link(s.g2, unlisted)), MALFORMED),
        refusal("a link to the first generation", s.keyring(s.w.link(s.g1, s.g1)), MALFORMED),
        refusal("a link over a broken step", s.keyring(s.w.link(s.g1, s.b2)), MALFORMED),
        case("a link that names the key it holds", made(reference=s.g2.key_id)),
        case("a link that names no key", made(reference=b"sw-0000000000000000")),
        case("a link in the envelope of a record", made(purpose=envelope.RECORD)),
        case("a link in an envelope for OpenBao", made(purpose=envelope.BLOB)),
        case("a link in an envelope of version 2", _with_byte(wrapped, 4, 2), UNSUPPORTED),
        case("a link around 31 bytes", made(inside=31)),
        case("a link around 33 bytes", made(inside=33)),
        case("a link around 16 bytes", made(inside=16)),
        case("an empty link", b""),
    ]


def _ways_in(s: Sample) -> list[dict[str, Any]]:
    both = (s.record_1, s.record_2)
    sibling = s.w.after(s.g1, "sibling", state=GEN_PENDING)
    of_pending = s.w.record(s.node_1, s.b2)
    of_sibling = s.w.record(s.node_1, sibling)
    g3 = s.w.after(s.g2, "g3")
    to_g3 = s.w.link(s.g2, g3)
    active_break = replace(s.b2, state=GEN_ACTIVE)
    return [
        refusal("no record", s.keyring(without=both), NO_WAY_IN),
        refusal("a record of a pending generation only", s.keyring(of_pending, without=both), NO_WAY_IN),
        refusal("a record of a sibling only", s.keyring(sibling, of_sibling, without=both), NO_WAY_IN),
        refusal("records without a link", s.keyring(without=(s.record_2, s.link)), NO_WAY_IN),
        refusal("the last link is missing", s.keyring(g3), NO_WAY_IN),
        refusal("the first link is missing", s.keyring(g3, to_g3, without=(s.record_2, s.link)), NO_WAY_IN),
        refusal("records from before the break only", s.keyring(active_break, without=(s.b2,)), NO_WAY_IN),
    ]


def _flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def _with_byte(data: bytes, index: int, value: int) -> bytes:
    return data[:index] + bytes([value]) + data[index + 1 :]
