"""Writes vectors/pcr-policies/*.json and vectors/boot-log/*.json from docs/formats/pcr-policies.md and the TCG specifications alone.

With --check it compares them with what is there instead. Needs the packages of requirements.txt.
"""

import datetime
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from vector_json import write_or_check

DOCUMENT = "docs/formats/pcr-policies.md"
TCG = "TCG PC Client Platform Firmware Profile 1.06, written with Python struct"
TPM_CC_POLICY_PCR = 0x17F
SHA256 = 0x000B
CREATED = "2026-01-02T03:04:05.678Z"


def drawn(label: str, count: int) -> bytes:
    """Bytes that stand for random ones."""
    return hashlib.shake_128(b"sealwright vectors pcr-policies " + label.encode()).digest(count)


def private_key(label: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(drawn(label, 31), "big"), ec.SECP256R1())


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def policy_digest(values: dict[int, bytes]) -> bytes:
    """TPM2_PolicyPCR on an empty session (Part 3, clause 23.7)."""
    bits = bytearray(3)
    for index in values:
        bits[index // 8] |= 1 << index % 8
    selection = (1).to_bytes(4, "big") + SHA256.to_bytes(2, "big") + b"\3" + bytes(bits)
    values_digest = hashlib.sha256(b"".join(values[index] for index in sorted(values))).digest()
    return hashlib.sha256(bytes(32) + TPM_CC_POLICY_PCR.to_bytes(4, "big") + selection + values_digest).digest()


def entry(label: str, reference: str, values: dict[int, bytes], key: ec.EllipticCurvePrivateKey | None) -> dict[str, Any]:
    digest = policy_digest(values)
    fields: dict[str, Any] = {
        "state": "predicted" if key is None else "signed",
        "label": label,
        "reference": reference,
        "created": CREATED,
        "pcrs": [{"pcr": index, "sha256": values[index].hex()} for index in sorted(values)],
        "policy": digest.hex(),
    }
    if key is not None:
        algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        r, s = decode_dss_signature(key.sign(digest + reference.encode("ascii"), algorithm))
        fields["signature"] = (r.to_bytes(32, "big") + s.to_bytes(32, "big")).hex()
    return fields


def file(entries: list[dict[str, Any]], **changes: Any) -> str:
    return json.dumps({"type": "sealwright pcr policies", "version": 1, "policies": entries, **changes}, indent=2) + "\n"


SIGNER = private_key("signer")
STRANGER = private_key("stranger")
OLD = {7: drawn("pcr 7 old", 32)}
NEW = {7: drawn("pcr 7 new", 32), 11: drawn("pcr 11", 32)}
ALL = {index: drawn(f"pcr {index}", 32) for index in range(24)}


def files() -> list[dict[str, Any]]:
    cases = {
        "no policy": ([], []),
        "one that is predicted": ([entry("next firmware", "v1", OLD, None)], [False]),
        "two that are signed, and one by a stranger": (
            [
                entry("linux 6.12.30", "node-1.v1", OLD, SIGNER),
                entry('quoted "and" \\', "node-1.v1", NEW, SIGNER),
                entry("stranger", "node-1.v2", OLD, STRANGER),
            ],
            [True, True, False],
        ),
        "every PCR, the longest label and reference": ([entry("l" * 64, "r" * 32, ALL, SIGNER)], [True]),
    }
    created = int(datetime.datetime.fromisoformat(CREATED).timestamp() * 1000)
    return [
        {
            "name": name,
            "source": f"{DOCUMENT}; computed with Python cryptography and hashlib",
            "file": file(entries),
            "publicKey": pem(SIGNER),
            "createdAtMs": created,
            "labels": [each["label"] for each in entries],
            "digests": [each["policy"] for each in entries],
            "signed": signed,
        }
        for name, (entries, signed) in cases.items()
    ]


def refused() -> list[dict[str, Any]]:
    good = entry("good", "v1", NEW, SIGNER)
    text = file([good])
    many = [entry(f"number {index}", f"v{index}", OLD, None) for index in range(65)]

    def changed(**fields: Any) -> str:
        return file([{**good, **fields}])

    cases = {
        "nothing": "",
        "no JSON": text[:-4],
        "a list": "[]\n",
        "another type": file([good], type="sealwright policies"),
        "version 2": file([good], version=2),
        "an unknown field of the file": file([good], extra=1),
        "an unknown field of a policy": changed(extra=1),
        "a missing field": file([{key: value for key, value in good.items() if key != "created"}]),
        "a signature on what is predicted": changed(state="predicted"),
        "no signature on what is signed": file([{**entry("x", "v1", NEW, None), "state": "signed"}]),
        "another state": changed(state="retired"),
        "a signature of 63 bytes": changed(signature=good["signature"][2:]),
        "upper-case digits": changed(policy=good["policy"].upper()),
        "no PCR": changed(pcrs=[]),
        "PCRs that do not ascend": changed(pcrs=good["pcrs"][::-1]),
        "a PCR twice": changed(pcrs=[good["pcrs"][0]] * 2),
        "PCR 24": changed(pcrs=[{"pcr": 24, "sha256": "00" * 32}]),
        "a PCR that is no whole number": changed(pcrs=[{"pcr": 7.5, "sha256": "00" * 32}]),
        "a PCR value of 31 bytes": changed(pcrs=[{"pcr": 7, "sha256": "00" * 31}]),
        "another PCR value than its digest": changed(pcrs=[{"pcr": 7, "sha256": "00" * 32}]),
        "an empty label": changed(label=""),
        "a label of 65 characters": changed(label="l" * 65),
        "a label with a line break": changed(label="a\nb"),
        "a label that begins with a space": changed(label=" a"),
        "a label that is not ASCII": changed(label="f\u00fcr"),
        "an empty reference": changed(reference=""),
        "a reference of 33 characters": changed(reference="r" * 33),
        "a reference with a space": changed(reference="v 1"),
        "a time without milliseconds": changed(created="2026-01-02T03:04:05Z"),
        "a time that is none": changed(created="yesterday"),
        "a time before 1970": changed(created="1969-12-31T23:59:59.999Z"),
        "a field given twice": text.replace('"version": 1,', '"version": 1,\n  "version": 1,'),
        "no line break at the end": text[:-1],
        "a blank after the end": text + " ",
        "other indentation": json.dumps(json.loads(text)) + "\n",
        "fields in another order": file([dict(reversed(good.items()))]),
        "a byte order mark": "\ufeff" + text,
    }
    vectors = [
        {"name": name, "source": f"{DOCUMENT} sections 1 and 2", "file": content, "code": "PCR_POLICIES_MALFORMED"}
        for name, content in cases.items()
    ]
    doubled = file([good, {**entry("other label", "v1", NEW, None)}])
    vectors.append({"name": "two for one state and reference", "source": f"{DOCUMENT} section 2", "file": doubled, "code": "PCR_POLICIES_DUPLICATE"})
    vectors.append({"name": "65 policies", "source": f"{DOCUMENT} section 2", "file": file(many), "code": "PCR_POLICIES_TOO_LARGE"})
    return vectors


def u16(value: int) -> bytes:
    return value.to_bytes(2, "little")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


SIZES = {0x0004: 20, 0x000B: 32, 0x000C: 48}


def header(algorithms: list[int], vendor: bytes = b"") -> bytes:
    spec = b"Spec ID Event03\0" + u32(0) + bytes([0, 2, 106, 2]) + u32(len(algorithms))
    spec += b"".join(u16(each) + u16(SIZES[each]) for each in algorithms) + bytes([len(vendor)]) + vendor
    return u32(0) + u32(3) + bytes(20) + u32(len(spec)) + spec


def event(pcr: int, kind: int, digests: dict[int, bytes], data: bytes) -> bytes:
    listed = u32(len(digests)) + b"".join(u16(each) + digest for each, digest in digests.items())
    return u32(pcr) + u32(kind) + listed + u32(len(data)) + data


def variable(name: str, value: bytes) -> bytes:
    return drawn(f"guid {name}", 16) + len(name).to_bytes(8, "little") + len(value).to_bytes(8, "little") + name.encode("utf-16-le") + value


def measured(pcr: int, kind: int, data: bytes, algorithms: list[int] = [SHA256]) -> bytes:
    names = {0x0004: "sha1", 0x000B: "sha256", 0x000C: "sha384"}
    return event(pcr, kind, {each: hashlib.new(names[each], data).digest() for each in algorithms}, data)


def extended(start: bytes, *measurements: bytes) -> str:
    value = start
    for data in measurements:
        value = hashlib.sha256(value + hashlib.sha256(data).digest()).digest()
    return value.hex()


def logs() -> list[dict[str, Any]]:
    both = [0x0004, 0x000B]
    zeros, separator = bytes(32), bytes(4)
    secure_boot, platform_key = variable("SecureBoot", b"\1"), variable("PK", drawn("PK", 700))
    first = (
        header(both, b"vendor")
        + event(0, 3, {each: bytes(SIZES[each]) for each in both}, b"StartupLocality\0\3")
        + measured(0, 8, b"1\0.\0", both)
        + measured(7, 0x80000001, secure_boot, both)
        + measured(7, 0x80000001, platform_key, both)
        + measured(4, 0x80000007, b"Calling EFI Application from Boot Option", both)
        + measured(7, 4, separator, both)
        + measured(12, 0xD, "quiet root=/dev/sda\0".encode("utf-16-le"), both)
        + measured(17, 0x402, b"dynamic", both)
    )
    return [
        {
            "name": "a firmware with two banks, started from locality 3",
            "source": TCG,
            "log": first.hex(),
            "events": [
                "0 EV_NO_ACTION",
                "0 EV_S_CRTM_VERSION",
                "7 EV_EFI_VARIABLE_DRIVER_CONFIG SecureBoot",
                "7 EV_EFI_VARIABLE_DRIVER_CONFIG PK",
                "4 EV_EFI_ACTION Calling EFI Application from Boot Option",
                "7 EV_SEPARATOR",
                "12 EV_IPL quiet root=/dev/sda",
                "17 0x00000402",
            ],
            "pcrs": {
                "0": extended(bytes(31) + b"\3", b"1\0.\0"),
                "4": extended(zeros, b"Calling EFI Application from Boot Option"),
                "7": extended(zeros, secure_boot, platform_key, separator),
                "12": extended(zeros, "quiet root=/dev/sda\0".encode("utf-16-le")),
                "17": extended(b"\xff" * 32, b"dynamic"),
                "18": "ff" * 32,
                "23": "00" * 32,
            },
        },
        {
            "name": "nothing but a header",
            "source": TCG,
            "log": header([SHA256]).hex(),
            "events": [],
            "pcrs": {"0": "00" * 32, "7": "00" * 32},
        },
    ]


def refused_logs() -> list[dict[str, Any]]:
    good = header([SHA256]) + measured(7, 4, bytes(4))
    spec = header([SHA256])
    cases = {
        "nothing": b"",
        "a log of TPM 1.2": u32(0) + u32(8) + hashlib.sha1(b"x").digest() + u32(1) + b"x",
        "another signature": spec.replace(b"Event03", b"Event02"),
        "a header that extends PCR 1": u32(1) + spec[4:],
        "a header with a digest": spec[:8] + b"\1" * 20 + spec[28:],
        "a header with bytes behind it": spec[:28] + u32(len(spec) - 32 + 1) + spec[32:] + b"\0",
        "no algorithm": header([]),
        "17 algorithms": spec[:56] + u32(17) + spec[60:],
        "an algorithm twice": header([SHA256, SHA256]),
        "SHA-256 of 20 bytes": spec.replace(u16(SHA256) + u16(32), u16(SHA256) + u16(20)),
        "a digest of 65 bytes": spec.replace(u16(SHA256) + u16(32), u16(SHA256) + u16(65)),
        "PCR 24": spec + measured(24, 4, bytes(4)),
        "an event without a digest": spec + event(7, 4, {}, bytes(4)),
        "an event with two digests of one algorithm": header([SHA256, 4]) + u32(7) + u32(4) + u32(2) + (u16(SHA256) + bytes(32)) * 2 + u32(0),
        "an event with more digests than algorithms": spec + u32(7) + u32(4) + u32(2) + u16(SHA256) + bytes(32) + u16(4) + bytes(20) + u32(0),
        "a digest that the header does not name": spec + event(7, 4, {4: bytes(20)}, b""),
        "data longer than the log": spec + u32(7) + u32(4) + u32(1) + u16(SHA256) + bytes(32) + u32(0xFFFFFFFF),
        "a byte left over": good + b"\0",
    }
    vectors = [
        {"name": name, "source": TCG, "log": log.hex(), "code": "BOOT_LOG_MALFORMED"} for name, log in cases.items()
    ]
    vectors.append({"name": "no bank of SHA-256", "source": TCG, "log": header([4]).hex(), "code": "BOOT_LOG_NO_SHA256"})
    return vectors


write_or_check(
    {
        "pcr-policies/files.json": files(),
        "pcr-policies/refused.json": refused(),
        "boot-log/logs.json": logs(),
        "boot-log/refused.json": refused_logs(),
    }
)
