"""vectors/shamir-share/ and vectors/shamir-sealed-kek/, but for what is published elsewhere."""

import hashlib
from importlib.metadata import version
from typing import Any

from format import shares as sharing
from format import x_wing
from format.shares import Share

LIBRARY = f"Python cryptography {version('cryptography')}"
SHARE_SOURCE = f"docs/formats/shamir-share.md; computed with {LIBRARY}"
SEALED_SOURCE = f"docs/formats/shamir-sealed-kek.md; computed with {LIBRARY}"

Cases = list[dict[str, Any]]


def drawn(label: str, length: int) -> bytes:
    return hashlib.shake_256(b"sealwright shamir vectors: " + label.encode()).digest(length)


def share_set(label: str, threshold: int, count: int) -> tuple[bytes, bytes, list[Share]]:
    """Seed, coefficients and shares."""
    seed = drawn(f"{label} seed", 32)
    coefficients = drawn(f"{label} coefficients", 32 * (threshold - 1))
    member = sharing.member_id(x_wing.PrivateKey(seed).public_key())
    cluster = drawn("cluster", 16)
    values = sharing.split(seed, threshold, count, coefficients)
    result = [Share(cluster, member, threshold, count, at + 1, value) for at, value in enumerate(values)]
    if sharing.combined({share.index: share.value for share in result[-threshold:]}) != seed:
        raise SystemExit("the last shares do not rebuild the seed")
    return seed, coefficients, result


def share_set_cases() -> Cases:
    return [
        _share_set("2 of 2", 2, 2),
        _share_set("2 of 3", 2, 3),
        _share_set("3 of 5", 3, 5),
        _share_set("5 of 5", 5, 5),
        _share_set("7 of 10", 7, 10),
    ]


def _share_set(name: str, threshold: int, count: int) -> dict[str, Any]:
    seed, coefficients, shares = share_set(name, threshold, count)
    return {
        "name": name,
        "source": SHARE_SOURCE,
        "clusterId": shares[0].cluster_id.hex(),
        "threshold": threshold,
        "shares": count,
        "seed": seed.hex(),
        "coefficients": coefficients.hex(),
        "wrappingKey": x_wing.PrivateKey(seed).public_key().hex(),
        "memberId": shares[0].member_id.hex(),
        "data": sharing.data(shares).hex(),
        "values": [share.value.hex() for share in shares],
        "texts": [share.text() for share in shares],
    }


def text_cases() -> Cases:
    share = share_set("3 of 5", 3, 5)[2][1]
    text = share.text()
    groups = text.removeprefix("sw-share-1-").split("-")
    extreme = Share(bytes(16), b"\xff" * 16, 255, 255, 255, bytes(32))
    return [
        _text("as it is written", share, text),
        _text("capitals", share, text.upper()),
        _text("spaces between groups", share, "sw-share-1-" + " ".join(groups)),
        _text("four lines, and a line break at the end", share, _lines(groups)),
        _text("no separators at all", share, "sw-share-1-" + "".join(groups)),
        _text("i and l for 1, o for 0", share, _alike(text)),
        _text("surrounded by white space", share, f" \t{text}\r\n"),
        _text("the highest numbers", extreme, extreme.text()),
    ]


def _lines(groups: list[str]) -> str:
    return "sw-share-1-\n" + "\n".join("-".join(groups[at : at + 6]) for at in range(0, 24, 6)) + "\n"


def _alike(text: str) -> str:
    prefix, digits = text[:11], text[11:]
    if "1" not in digits or "0" not in digits:
        raise SystemExit("this share shows nothing")
    return prefix + digits.replace("1", "l", 1).replace("1", "I").replace("0", "o", 1).replace("0", "O")


def _text(name: str, share: Share, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "source": SHARE_SOURCE,
        "text": text,
        "written": share.text(),
        "clusterId": share.cluster_id.hex(),
        "memberId": share.member_id.hex(),
        "threshold": share.threshold,
        "shares": share.shares,
        "index": share.index,
        "value": share.value.hex(),
    }


def refused_text_cases() -> Cases:
    share = share_set("3 of 5", 3, 5)[2][1]
    text = share.text()
    prefix, groups = text[:11], text[11:].split("-")
    other = "2" if groups[6][2] != "2" else "3"
    changed = [*groups[:6], groups[6][:2] + other + groups[6][3:], *groups[7:]]
    if groups[9][0] == groups[9][1]:
        raise SystemExit("this share shows nothing")
    turned = [*groups[:9], groups[9][1] + groups[9][0] + groups[9][2:], *groups[10:]]
    swapped = [*groups[:3], groups[4], groups[3], *groups[5:]]
    left_out = [*groups[:11], *groups[12:]]
    payload = share.cluster_id + share.member_id + share.described() + share.value
    return [
        _refused("empty", "", "SHAMIR_SHARE_MALFORMED"),
        _refused("something else", "hvs.CAESIJ", "SHAMIR_SHARE_MALFORMED"),
        _refused("no version", "sw-share-" + "-".join(groups), "SHAMIR_SHARE_MALFORMED"),
        _refused("version 0", text.replace("-1-", "-0-", 1), "SHAMIR_SHARE_MALFORMED"),
        _refused("version 2", text.replace("-1-", "-2-", 1), "SHAMIR_SHARE_UNSUPPORTED"),
        _refused("version 10", text.replace("-1-", "-10-", 1), "SHAMIR_SHARE_UNSUPPORTED"),
        _refused("nothing after the version", prefix, "SHAMIR_SHARE_TRUNCATED", 1),
        _refused("one character short", text[:-1], "SHAMIR_SHARE_TRUNCATED", 24),
        _refused("the last group left out", prefix + "-".join(groups[:-1]), "SHAMIR_SHARE_TRUNCATED", 24),
        _refused("one character changed", prefix + "-".join(changed), "SHAMIR_SHARE_MISTYPED", 7),
        _refused("two characters that changed places", prefix + "-".join(turned), "SHAMIR_SHARE_MISTYPED", 10),
        _refused("two groups that changed places", prefix + "-".join(swapped), "SHAMIR_SHARE_MISTYPED", 4),
        _refused("a group left out", prefix + "-".join(left_out), "SHAMIR_SHARE_MISTYPED", 12),
        _refused(
            "a group of five", prefix + "-".join([groups[0], groups[1][1:], *groups[2:]]), "SHAMIR_SHARE_MISTYPED", 2
        ),
        _refused("the letter u", prefix + "u" + text[12:], "SHAMIR_SHARE_MISTYPED", 1),
        _refused("a character beyond ASCII", prefix + "é" + text[12:], "SHAMIR_SHARE_MISTYPED", 1),
        _refused("a group too many", f"{text}-{groups[0]}", "SHAMIR_SHARE_MISTYPED"),
        _refused("another checksum, each group right", sharing.text_of(payload + bytes(8)), "SHAMIR_SHARE_MISTYPED"),
        _refused("a threshold of 1", _saying(share, threshold=1), "SHAMIR_SHARE_MALFORMED"),
        _refused("a threshold above the number of shares", _saying(share, threshold=6), "SHAMIR_SHARE_MALFORMED"),
        _refused("index 0", _saying(share, index=0), "SHAMIR_SHARE_MALFORMED"),
        _refused("an index above the number of shares", _saying(share, index=6), "SHAMIR_SHARE_MALFORMED"),
        _refused("far too long", text + "-" * 847, "SHAMIR_SHARE_MALFORMED"),
    ]


def _saying(share: Share, threshold: int | None = None, index: int | None = None) -> str:
    return Share(
        share.cluster_id,
        share.member_id,
        share.threshold if threshold is None else threshold,
        share.shares,
        share.index if index is None else index,
        share.value,
    ).text()


def _refused(name: str, text: str, code: str, group: int | None = None) -> dict[str, Any]:
    vector = {"name": name, "source": SHARE_SOURCE, "text": text, "code": code}
    return vector if group is None else {**vector, "group": group}


def refused_data_cases() -> Cases:
    data = sharing.data(share_set("2 of 3", 2, 3)[2])
    malformed, unsupported = "SHAMIR_SET_MALFORMED", "SHAMIR_SET_UNSUPPORTED"
    return [
        _refused_data("empty", b"", malformed),
        _refused_data("another magic", b"SWSX" + data[4:], malformed),
        _refused_data("no more than the magic", data[:4], malformed),
        _refused_data("version 0", data[:4] + b"\0" + data[5:], malformed),
        _refused_data("version 2", data[:4] + b"\2" + data[5:], unsupported),
        _refused_data("a threshold of 1", data[:5] + b"\1" + data[6:], malformed),
        _refused_data("a threshold above the number of shares", data[:5] + b"\4" + data[6:], malformed),
        _refused_data("no shares", data[:5] + b"\0\0", malformed),
        _refused_data("one check value short", data[:-32], malformed),
        _refused_data("one byte short", data[:-1], malformed),
        _refused_data("one byte left over", data + b"\0", malformed),
    ]


def _refused_data(name: str, data: bytes, code: str) -> dict[str, Any]:
    return {"name": name, "source": SHARE_SOURCE, "data": data.hex(), "code": code}


def x_wing_cases() -> Cases:
    """The inputs of the draft's appendix C: its vectors draw them from SHAKE-128 of nothing."""
    stream = hashlib.shake_128(b"").digest(3 * 96)
    return [
        _x_wing(number, stream[96 * number : 96 * number + 32], stream[96 * number + 32 : 96 * number + 96])
        for number in range(3)
    ]


def _x_wing(number: int, seed: bytes, eseed: bytes) -> dict[str, Any]:
    key = x_wing.PrivateKey(seed)
    shared_secret, enc = x_wing.encapsulate(key.public_key(), eseed)
    if key.decapsulate(enc) != shared_secret:
        raise SystemExit("what was encapsulated does not come out again")
    return {
        "name": f"draft-connolly-cfrg-xwing-kem, vector {number + 1}",
        "source": f"inputs of draft-connolly-cfrg-xwing-kem-10 appendix C; computed with {LIBRARY}",
        "seed": seed.hex(),
        "eseed": eseed.hex(),
        "publicKey": key.public_key().hex(),
        "enc": enc.hex(),
        "sharedSecret": shared_secret.hex(),
    }


def key_schedule_cases() -> Cases:
    return [
        _key_schedule("AES-256-GCM", x_wing.AES_256_GCM, b"info"),
        _key_schedule("AES-256-GCM, no info", x_wing.AES_256_GCM, b""),
        _key_schedule("ChaCha20-Poly1305", x_wing.CHACHA20_POLY1305, b"info"),
    ]


def _key_schedule(name: str, aead_id: int, info: bytes) -> dict[str, Any]:
    shared_secret = drawn(f"key schedule {name}", 32)
    key, base_nonce = x_wing.key_schedule(shared_secret, info, aead_id)
    return {
        "name": name,
        "source": f"RFC 9180 section 5.1, base mode, HKDF-SHA256; computed with {LIBRARY}",
        "sharedSecret": shared_secret.hex(),
        "info": info.hex(),
        "aeadId": aead_id,
        "key": key.hex(),
        "baseNonce": base_nonce.hex(),
    }


def open_cases() -> Cases:
    return [
        _sealed("a KEK", "3 of 5", "kek"),
        _sealed("another KEK of the same member", "3 of 5", "kek 2"),
        _sealed("another member", "2 of 3", "kek"),
    ]


def _sealed(name: str, set_name: str, kek_name: str) -> dict[str, Any]:
    seed = drawn(f"{set_name} seed", 32)
    public_key = x_wing.PrivateKey(seed).public_key()
    kek, eseed = drawn(f"{set_name} {kek_name}", 32), drawn(f"{set_name} {kek_name} eseed", 64)
    member = sharing.member_id(public_key)
    sealed = sharing.sealed_kek(public_key, kek, eseed)
    if x_wing.PrivateKey(seed).hpke_open(sharing.sealed_kek_info(member), sealed[21:]) != kek:
        raise SystemExit("the library does not open what was sealed here")
    return {
        "name": name,
        "source": SEALED_SOURCE,
        "privateKey": seed.hex(),
        "wrappingKey": public_key.hex(),
        "memberId": member.hex(),
        "kek": kek.hex(),
        "sealedKek": sealed.hex(),
    }


def not_opened_cases() -> Cases:
    seed = drawn("3 of 5 seed", 32)
    public_key = x_wing.PrivateKey(seed).public_key()
    other_key = x_wing.PrivateKey(drawn("2 of 3 seed", 32)).public_key()
    eseed = drawn("not opened eseed", 64)
    sealed = sharing.sealed_kek(public_key, drawn("kek", 32), eseed)
    other = sharing.sealed_kek(other_key, drawn("kek", 32), eseed)
    enc, ciphertext = x_wing.hpke_seal(public_key, b"", drawn("kek", 32), eseed)
    malformed, failed = "SHAMIR_SEALED_KEK_MALFORMED", "SHAMIR_SEALED_KEK_AUTH_FAILED"
    cases = [
        ("empty", b"", malformed),
        ("another magic", b"SWTK" + sealed[4:], malformed),
        ("no more than the magic", sealed[:4], malformed),
        ("version 0", sealed[:4] + b"\0" + sealed[5:], malformed),
        ("version 2", sealed[:4] + b"\2" + sealed[5:], "SHAMIR_SEALED_KEK_UNSUPPORTED"),
        ("one byte short", sealed[:-1], malformed),
        ("one byte left over", sealed + b"\0", malformed),
        ("for another member", other, "SHAMIR_SEALED_KEK_OTHER_MEMBER"),
        ("for another member, said to be for this one", sealed[:21] + other[21:], failed),
        ("of another info", sealed[:21] + enc + ciphertext, failed),
        ("a point of low order", sealed[:1109] + bytes(32) + sealed[1141:], failed),
        ("another tag", sealed[:-1] + bytes([sealed[-1] ^ 1]), failed),
    ]
    return [
        {"name": name, "source": SEALED_SOURCE, "privateKey": seed.hex(), "sealedKek": data.hex(), "code": code}
        for name, data, code in cases
    ]
