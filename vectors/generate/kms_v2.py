"""Writes vectors/kms-v2/: `python vectors/generate/kms_v2.py [--check]`.

Written from docs/formats/kms-ciphertext.md and docs/formats/kms-state.md, with nothing but Python's own library. Shares no code with the
TypeScript library.
"""

import base64
import hashlib
import json

from vector_json import write_or_check

CIPHERTEXT = "docs/formats/kms-ciphertext.md"
STATE = "docs/formats/kms-state.md"

PROVIDERS = {"transit": 1, "keyring": 2}
BINDING = "binding.kms.sealwright.io"
CLUSTER = "production-eu"


def drawn(label: str, length: int) -> bytes:
    """Bytes that stand for random ones; the same in each run."""
    return hashlib.shake_256(label.encode()).digest(length)


def joined(*fields: bytes) -> bytes:
    """Section 1: each field behind its length."""
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def key_id(provider: str, cluster: str, lineage: bytes, version: int) -> str:
    """Section 2."""
    fields = (
        b"sealwright kms v2 key id v1",
        provider.encode(),
        cluster.encode(),
        lineage,
        version.to_bytes(4, "big"),
    )
    digest = hashlib.sha256(joined(*fields)).digest()
    return "sealwright.v1." + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def header(provider: str, lineage: bytes, version: int) -> bytes:
    """Section 3."""
    return b"SWKM" + bytes([1, PROVIDERS[provider]]) + version.to_bytes(4, "big") + lineage


def binding(cluster: str, key: str, ciphertext: bytes) -> bytes:
    """Section 4."""
    fields = (b"sealwright kms v2 binding v1", cluster.encode(), key.encode(), ciphertext)
    return hashlib.sha256(joined(*fields)).digest()


def associated_data(cluster: str, key: str, head: bytes) -> bytes:
    """Section 5."""
    return joined(b"sealwright kms v2 aad v1", cluster.encode(), key.encode(), head)


def sample_associated_data(cluster: str, key: str, head: bytes) -> bytes:
    """kms-state.md section 4."""
    return joined(b"sealwright kms v2 sample v1", cluster.encode(), key.encode(), head)


LINEAGE = drawn("lineage", 16)
OTHER_LINEAGE = drawn("other lineage", 16)

IDENTITIES = [
    ("the first version of a transit key", "transit", CLUSTER, LINEAGE, 1),
    ("its second version", "transit", CLUSTER, drawn("second lineage", 16), 2),
    ("another lineage", "transit", CLUSTER, OTHER_LINEAGE, 1),
    ("another provider", "keyring", CLUSTER, LINEAGE, 1),
    ("another cluster", "transit", "production-us", LINEAGE, 1),
    ("a cluster in Cyrillic", "transit", "\u043a\u043b\u0430\u0441\u0442\u0435\u0440", LINEAGE, 1),
    ("a cluster beyond the first plane", "transit", "\U0001f3f0", LINEAGE, 1),
    ("a cluster with a letter in one piece", "transit", "caf\u00e9", LINEAGE, 1),
    ("the same letter in two pieces is another cluster", "transit", "cafe\u0301", LINEAGE, 1),
    ("the highest version there is", "transit", CLUSTER, LINEAGE, 0xFFFFFFFF),
    ("a version of two bytes", "keyring", CLUSTER, LINEAGE, 0x0102),
]


def key_ids() -> list[dict]:
    return [
        {
            "name": name,
            "source": f"{CIPHERTEXT} section 2",
            "provider": provider,
            "clusterId": cluster,
            "lineage": lineage.hex(),
            "version": version,
            "keyId": key_id(provider, cluster, lineage, version),
        }
        for name, provider, cluster, lineage, version in IDENTITIES
    ]


def request(provider: str, cluster: str, lineage: bytes, version: int, wrapped: bytes) -> dict:
    key = key_id(provider, cluster, lineage, version)
    ciphertext = header(provider, lineage, version) + wrapped
    return {"keyId": key, "ciphertext": ciphertext, "annotations": {BINDING: binding(cluster, key, ciphertext)}}


def ciphertexts() -> list[dict]:
    cases = [(name, *identity, drawn(f"wrapped {name}", 60)) for name, *identity in IDENTITIES]
    cases.append(("the shortest", "transit", CLUSTER, LINEAGE, 1, b"\0"))
    cases.append(("the longest", "transit", CLUSTER, LINEAGE, 1, drawn("longest", 998)))
    vectors = []
    for name, provider, cluster, lineage, version, wrapped in cases:
        made = request(provider, cluster, lineage, version, wrapped)
        head = header(provider, lineage, version)
        vectors.append(
            {
                "name": name,
                "source": f"{CIPHERTEXT} sections 3 to 5",
                "provider": provider,
                "clusterId": cluster,
                "lineage": lineage.hex(),
                "version": version,
                "wrapped": wrapped.hex(),
                "keyId": made["keyId"],
                "associatedData": associated_data(cluster, made["keyId"], head).hex(),
                "sampleAssociatedData": sample_associated_data(cluster, made["keyId"], head).hex(),
                "ciphertext": made["ciphertext"].hex(),
                "binding": made["annotations"][BINDING].hex(),
            }
        )
    return vectors


def bound(ciphertext: bytes, key: str, cluster: str = CLUSTER) -> dict:
    """A request whose annotation fits, whatever else is wrong."""
    return {"keyId": key, "ciphertext": ciphertext, "annotations": {BINDING: binding(cluster, key, ciphertext)}}


def refused() -> list[dict]:
    """Requests to a transit service that has seen version 2 (retired), 3 (retiring), 4 (active) and 5 (pending), of LINEAGE all."""
    wrapped = drawn("wrapped", 60)
    good = request("transit", CLUSTER, LINEAGE, 4, wrapped)
    third = request("transit", CLUSTER, LINEAGE, 3, wrapped)
    other = request("transit", CLUSTER, LINEAGE, 4, drawn("other wrapped", 60))
    body, key = good["ciphertext"], good["keyId"]
    fitting = good["annotations"][BINDING]
    broken = "KMS_CIPHERTEXT_REFUSED"
    unknown = "KMS_KEY_ID_UNKNOWN"
    retired = "KMS_VERSION_RETIRED"
    cases = [
        ("nothing", bound(b"", key), broken),
        ("the magic alone", bound(body[:4], key), broken),
        ("a header without anything behind it", bound(body[:26], key), broken),
        ("1,025 bytes", bound(body + bytes(1025 - len(body)), key), broken),
        ("another magic", bound(b"SWEV" + body[4:], key), broken),
        ("format 0", bound(body[:4] + b"\0" + body[5:], key), broken),
        ("format 2", bound(body[:4] + b"\2" + body[5:], key), broken),
        ("provider 0", bound(body[:5] + b"\0" + body[6:], key), broken),
        ("provider 3", bound(body[:5] + b"\3" + body[6:], key), broken),
        ("version 0", bound(body[:6] + bytes(4) + body[10:], key), broken),
        ("an empty key id", {**good, "keyId": ""}, unknown),
        ("the key id of another version", {**good, "keyId": third["keyId"]}, unknown),
        ("the same, with an annotation that fits", bound(body, third["keyId"]), unknown),
        ("a key id with padding", bound(body, key + "="), unknown),
        ("a key id of 1,024 bytes", bound(body, "k" * 1024), unknown),
        ("another provider", request("keyring", CLUSTER, LINEAGE, 4, wrapped), unknown),
        ("another cluster", request("transit", "staging", LINEAGE, 4, wrapped), unknown),
        ("no annotation", {**good, "annotations": {}}, broken),
        ("an empty annotation", {**good, "annotations": {BINDING: b""}}, broken),
        ("a short annotation", {**good, "annotations": {BINDING: fitting[:31]}}, broken),
        ("a long annotation", {**good, "annotations": {BINDING: fitting + b"\0"}}, broken),
        ("another name of the annotation", {**good, "annotations": {"binding.kms.example.org": fitting}}, broken),
        ("one annotation more", {**good, "annotations": {BINDING: fitting, "more.example.org": b"\1"}}, broken),
        ("the annotation of another request", {**good, "annotations": other["annotations"]}, broken),
        ("the ciphertext of another request", {**good, "ciphertext": other["ciphertext"]}, broken),
        ("a byte left over", {**good, "ciphertext": body + b"\0"}, broken),
        ("a byte too few", {**good, "ciphertext": body[:-1]}, broken),
        ("a version that nobody has seen", request("transit", CLUSTER, LINEAGE, 6, wrapped), unknown),
        ("the highest version there is", request("transit", CLUSTER, LINEAGE, 0xFFFFFFFF, wrapped), unknown),
        ("a version of another key", request("transit", CLUSTER, OTHER_LINEAGE, 4, wrapped), unknown),
        ("a retired version of another key", request("transit", CLUSTER, OTHER_LINEAGE, 2, wrapped), unknown),
        ("a retired version", request("transit", CLUSTER, LINEAGE, 2, wrapped), retired),
        ("a version older than any that was seen", request("transit", CLUSTER, LINEAGE, 1, wrapped), retired),
    ]
    return [
        {
            "name": name,
            "source": f"{CIPHERTEXT} section 6",
            "keyId": case["keyId"],
            "ciphertext": case["ciphertext"].hex(),
            "annotations": {label: value.hex() for label, value in case["annotations"].items()},
            "code": code,
        }
        for name, case, code in cases
    ]


def encoded_sample(label: str, length: int = 60) -> str:
    return base64.b64encode(drawn(f"sample {label}", length)).decode()


def former_entry(version: int, label: str, created_at_ms: int = 1_700_000_000_000, has_sample: bool = True) -> dict:
    """A version without a phase. Its label stands for its key."""
    return {
        "version": version,
        "lineage": drawn(f"lineage {label}", 16).hex(),
        "createdAtMs": created_at_ms,
        "sample": encoded_sample(label) if has_sample else None,
    }


def version_entry(version: int, phase: str, created_at_ms: int = 1_700_000_000_000, has_sample: bool = True) -> dict:
    return {**former_entry(version, str(version), created_at_ms, has_sample), "phase": phase}


def state(
    cluster: str, versions: list[dict], provider: str = "transit", stable: int = 3, former: list[dict] | None = None
) -> dict:
    """kms-state.md section 2, without the checksum."""
    return {
        "format": "sealwright kms state",
        "formatVersion": 1,
        "provider": provider,
        "clusterId": cluster,
        "stableObservations": stable,
        "versions": versions,
        "former": [] if former is None else former,
    }


def spelled(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def whole(value: dict) -> str:
    """kms-state.md section 2: with the checksum of all that stands before it."""
    return spelled({**value, "checksum": hashlib.sha256(spelled(value).encode()).hexdigest()})


ACTIVE = version_entry(1, "active")
ALL_PHASES = [
    version_entry(1, "retired", has_sample=False),
    version_entry(2, "retiring"),
    version_entry(3, "active"),
    version_entry(7, "pending", has_sample=False),
]
#: Two keys that were given up one after the other, of which the first had two versions.
FORMER = sorted(
    [former_entry(1, "a"), former_entry(1, "b", has_sample=False), former_entry(2, "a2")],
    key=lambda entry: (entry["version"], entry["lineage"]),
)


def states() -> list[dict]:
    longest = {**ACTIVE, "sample": encoded_sample("longest", 998)}
    shortest = {**ACTIVE, "sample": encoded_sample("shortest", 1)}
    cases = [
        ("one version", state(CLUSTER, [ACTIVE])),
        ("every phase, with numbers left out", state(CLUSTER, ALL_PHASES)),
        ("versions of former keys", state(CLUSTER, [ACTIVE], former=FORMER)),
        ("a key that was given up for the one that is there", state(CLUSTER, [], stable=0, former=FORMER)),
        ("the longest sample", state(CLUSTER, [longest])),
        ("the shortest sample", state(CLUSTER, [shortest])),
        ("a keyring, and no observation that counts", state(CLUSTER, [ACTIVE], "keyring", 0)),
        ("nothing usable was seen yet", state(CLUSTER, [], stable=0)),
        ("a cluster that needs more than ASCII", state("\u043a\u043b\u0430\u0441\u0442\u0435\u0440 \U0001f3f0", [ACTIVE])),
        ("a cluster that JSON has to escape", state('a"b\\c\n\u0001', [ACTIVE])),
        ("the highest numbers", state(CLUSTER, [version_entry(0xFFFFFFFF, "active", 2**53 - 1)], stable=2**53 - 1)),
        ("the lowest numbers", state(CLUSTER, [version_entry(1, "active", 0)], stable=0)),
    ]
    return [
        {
            "name": name,
            "source": f"{STATE} section 2",
            "provider": value["provider"],
            "clusterId": value["clusterId"],
            "stableObservations": value["stableObservations"],
            "versions": value["versions"],
            "former": value["former"],
            "text": whole(value),
        }
        for name, value in cases
    ]


def refused_states() -> list[dict]:
    good = state(CLUSTER, [ACTIVE], former=FORMER)
    text = whole(good)
    checksum = text[text.index('"checksum": "') + 13 :][:64]
    malformed, future = "KMS_STATE_MALFORMED", "KMS_STATE_FROM_FUTURE"

    def changed(**fields: object) -> str:
        return whole({**good, **fields})

    def entry(**fields: object) -> str:
        return changed(versions=[{**ACTIVE, **fields}])

    def former(*entries: dict) -> str:
        return changed(former=list(entries))

    def without(name: str) -> str:
        return whole({key: value for key, value in good.items() if key != name})

    as_former = {name: value for name, value in ACTIVE.items() if name != "phase"}
    cases = [
        ("nothing", "", malformed),
        ("no JSON", "state\n", malformed),
        ("null", "null\n", malformed),
        ("a list", spelled([good]), malformed),
        ("the first half", text[: len(text) // 2], malformed),
        ("no line break at the end", text[:-1], malformed),
        ("a line break more", text + "\n", malformed),
        ("a byte order mark", "\ufeff" + text, malformed),
        ("without spaces", json.dumps(json.loads(text), separators=(",", ":")) + "\n", malformed),
        ("fields in another order", whole(dict(reversed(good.items()))), malformed),
        ("a field given twice", text.replace('"clusterId"', '"clusterId": "x",\n  "clusterId"'), malformed),
        ("a letter escaped without need", text.replace("production", "\\u0070roduction"), malformed),
        ("a number with a fraction of zero", text.replace('"stableObservations": 3', '"stableObservations": 3.0'), malformed),
        ("no checksum", spelled(good), malformed),
        ("another checksum", text.replace(checksum, hashlib.sha256(b"").hexdigest()), malformed),
        ("a checksum in capitals", text.replace(checksum, checksum.upper()), malformed),
        ("a checksum with a digit less", text.replace(checksum, checksum[:-1]), malformed),
        ("a count that was changed, and the checksum was not", text.replace('"stableObservations": 3', '"stableObservations": 2'), malformed),
        ("a lineage that was changed, and the checksum was not", text.replace(ACTIVE["lineage"], drawn("another", 16).hex()), malformed),
        ("a field that is unknown", changed(more=1), malformed),
        ("a field __proto__", changed(__proto__={}), malformed),
        ("an unknown field of a version", entry(more=1), malformed),
        ("another format", changed(format="sealwright kms"), malformed),
        ("no format", without("format"), malformed),
        ("no format version", without("formatVersion"), malformed),
        ("format version 0", changed(formatVersion=0), malformed),
        ("half a format version", changed(formatVersion=1.5), malformed),
        ("format version 1 as a text", changed(formatVersion="1"), malformed),
        ("format version 2", changed(formatVersion=2), future),
        ("format version 2, with fields that nobody knows yet", changed(formatVersion=2, versions=None, more={}), future),
        ("no provider", without("provider"), malformed),
        ("an unknown provider", changed(provider="vault"), malformed),
        ("a provider in capitals", changed(provider="Transit"), malformed),
        ("no cluster", without("clusterId"), malformed),
        ("an empty cluster", changed(clusterId=""), malformed),
        ("a cluster that is a number", changed(clusterId=1), malformed),
        ("no count", without("stableObservations"), malformed),
        ("a count below zero", changed(stableObservations=-1), malformed),
        ("half a count", changed(stableObservations=0.5), malformed),
        ("a count beyond what is exact", changed(stableObservations=2**53), malformed),
        ("no versions", without("versions"), malformed),
        ("versions that are null", changed(versions=None), malformed),
        ("version 0", entry(version=0), malformed),
        ("a version of five bytes", entry(version=2**32), malformed),
        ("half a version", entry(version=1.5), malformed),
        ("a lineage of 15 bytes", entry(lineage=ACTIVE["lineage"][2:]), malformed),
        ("a lineage of 17 bytes", entry(lineage=ACTIVE["lineage"] + "00"), malformed),
        ("a lineage in capitals", entry(lineage="AB" * 16), malformed),
        ("a lineage with a line break", entry(lineage=ACTIVE["lineage"] + "\n"), malformed),
        ("a date before 1970", entry(createdAtMs=-1), malformed),
        ("no sample", changed(versions=[{key: value for key, value in ACTIVE.items() if key != "sample"}]), malformed),
        ("an empty sample", entry(sample=""), malformed),
        ("a sample of 999 bytes", entry(sample=encoded_sample("too long", 999)), malformed),
        ("a sample without padding", entry(sample=encoded_sample("padded", 61).rstrip("=")), malformed),
        ("a sample in base64url", entry(sample=base64.urlsafe_b64encode(b"\xfb\xff\xbf").decode()), malformed),
        ("a sample with bits left over", entry(sample="AB=="), malformed),
        ("a sample with a line break", entry(sample=ACTIVE["sample"] + "\n"), malformed),
        ("a sample that is a number", entry(sample=0), malformed),
        ("an unknown phase", entry(phase="lost"), malformed),
        ("no active version", entry(phase="pending"), malformed),
        ("two active versions", changed(versions=[ACTIVE, version_entry(2, "active")]), malformed),
        ("one version twice", changed(versions=[version_entry(1, "retiring"), ACTIVE]), malformed),
        ("versions in another order", changed(versions=[version_entry(2, "pending"), ACTIVE]), malformed),
        ("a version that waits and is older than the active one", changed(versions=[version_entry(1, "pending"), version_entry(2, "active")]), malformed),
        ("a version that retires and is newer than the active one", changed(versions=[ACTIVE, version_entry(2, "retiring")]), malformed),
        ("no former versions", without("former"), malformed),
        ("a former version with a phase", former({**FORMER[0], "phase": "retired"}), malformed),
        ("former versions in another order", former(*reversed(FORMER)), malformed),
        ("a former version twice", former(FORMER[0], FORMER[0]), malformed),
        ("a former version that is one of the versions", former(as_former), malformed),
        ("a former version 0", former({**FORMER[0], "version": 0}), malformed),
    ]
    return [
        {"name": name, "source": f"{STATE} section 3", "text": content, "code": code} for name, content, code in cases
    ]


write_or_check(
    {
        "kms-v2/key-ids.json": key_ids(),
        "kms-v2/ciphertexts.json": ciphertexts(),
        "kms-v2/refused.json": refused(),
        "kms-v2/states.json": states(),
        "kms-v2/refused-states.json": refused_states(),
    }
)
