"""Writes vectors/audit-log/*.json from docs/formats/audit-log.md alone. With --check it compares them with what is there instead.

Needs nothing but the standard library of Python.
"""

import datetime
import hashlib
import hmac
from typing import Any

from vector_json import write_or_check

SOURCE = "docs/formats/audit-log.md; computed with Python hashlib"
LINE_LABEL = b"sealwright audit-log v1 line"
CHECKPOINT_LABEL = b"sealwright audit-log v1 checkpoint"
FIRST_PREVIOUS = "0" * 64
TIME_MS = 1_763_810_040_123


def prefixed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def text(value: str) -> str:
    """Section 2.2: UTF-16 code units, all but printable ASCII as four hex digits."""
    units = value.encode("utf-16-be", "surrogatepass")
    escaped = ""
    for at in range(0, len(units), 2):
        unit = units[at] << 8 | units[at + 1]
        if unit in (0x22, 0x5C):
            escaped += "\\" + chr(unit)
        elif 0x20 <= unit <= 0x7E:
            escaped += chr(unit)
        else:
            escaped += f"\\u{unit:04x}"
    return f'"{escaped}"'


def value(item: Any) -> str:
    if isinstance(item, bool):
        return "true" if item else "false"
    return str(item) if isinstance(item, int) else text(item)


def start(sequence: int, previous: str, time_ms: int, node: str, kind: str) -> str:
    moment = datetime.datetime.fromtimestamp(time_ms // 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return (
        f'{{"v":1,"seq":{sequence},"prev":"{previous}","time":"{moment}.{time_ms % 1000:03d}Z",'
        f'"node":{text(node)},"kind":"{kind}","detail":'
    )


def finish(body: str) -> tuple[str, str]:
    digest = hashlib.sha256(prefixed(LINE_LABEL, body.encode("ascii"))).hexdigest()
    return f'{body},"hash":"{digest}"}}', digest


def line(sequence: int, previous: str, kind: str, detail: dict, time_ms: int = TIME_MS, node: str = "node-1") -> dict:
    fields = ",".join(f'"{name}":{value(detail[name])}' for name in sorted(detail))
    written, digest = finish(f"{start(sequence, previous, time_ms, node, kind)}{{{fields}}}")
    return {
        "sequence": sequence,
        "previousHash": previous,
        "timeMs": time_ms,
        "node": node,
        "kind": kind,
        "detail": detail,
        "line": written,
        "hash": digest,
    }


def checkpoint(sequence: int, previous: str, key: bytes, key_id: str) -> dict:
    covered = f'{start(sequence, previous, TIME_MS, "node-1", "checkpoint")}{{"keyId":{text(key_id)},"mac":"'
    mac = hmac.new(key, prefixed(CHECKPOINT_LABEL, covered.encode("ascii")), hashlib.sha256).hexdigest()
    return {"key": key.hex(), **line(sequence, previous, "checkpoint", {"keyId": key_id, "mac": mac})}


def named(name: str, fields: dict) -> dict:
    return {"name": name, "source": SOURCE, **fields}


PREVIOUS = hashlib.sha256(b"the line before").hexdigest()
REST = hashlib.sha256(b'{"v":1,"se').hexdigest()


def lines() -> list[dict]:
    opening = line(1, FIRST_PREVIOUS, "segment-opened", {"segment": 1, "reason": "first"})
    started = line(2, opening["hash"], "agent-started", {"version": "0.1.0", "pid": 4711})
    share = {"seal": "people", "ceremony": "a1b2c3d4", "shareSet": "red", "index": 4, "entered": 1, "threshold": 3}
    rehearsal = {"seal": "people", "ceremony": "a1b2c3d4", "shareSet": "red", "entered": 3, "passed": True}
    torn = {"segment": 3, "reason": "unfinished", "heldBytes": 812, "restBytes": 10, "restHash": REST}
    hostile = '"\\\n\r\t\0\x1b[2J\x7f\u00e9\u2028\U0001f511\ud800'
    return [
        named("the first line of all", opening),
        named("a line behind it", started),
        named("a share entered, the caller unknown", line(17, PREVIOUS, "share-entered", share)),
        named(
            "a share entered, the caller known",
            line(17, PREVIOUS, "share-entered", {**share, "uid": 1000, "gid": 1000, "pid": 99}),
        ),
        named("a flag", line(18, PREVIOUS, "rehearsal-ended", rehearsal)),
        named("a segment behind an unfinished line", line(40, PREVIOUS, "segment-opened", torn)),
        named("lost events", line(41, PREVIOUS, "events-lost", {"count": 12})),
        named("a text that would break a line or a terminal", line(5, PREVIOUS, "agent-stopped", {"reason": hostile})),
        named("a node's name that needs escapes", line(5, PREVIOUS, "agent-stopped", {"reason": ""}, node='n"\u00f6')),
        named("no details, of a kind that nobody knows", line(6, PREVIOUS, "moon-risen", {})),
        named("the largest numbers", line(999_999_999_999_999, PREVIOUS, "moon-risen", {"nights": 2**53 - 1})),
        named("the first moment of 1970", line(7, PREVIOUS, "moon-risen", {"full": False}, time_ms=0)),
        named("fields in the order of their code units", line(8, PREVIOUS, "moon-risen", {"b": 1, "aB": 2, "aa": 3})),
        named("a checkpoint", checkpoint(42, PREVIOUS, bytes(range(32)), "k1")),
        named("a checkpoint of another key", checkpoint(42, PREVIOUS, bytes(range(32, 64)), "sw-0011223344556677")),
    ]


def refused() -> list[dict]:
    good = line(17, PREVIOUS, "agent-started", {"version": "0.1.0", "pid": 4711})["line"]

    def changed(old: str, new: str) -> str:
        if good.count(old) != 1:
            raise SystemExit(f"{old} does not stand in the line once")
        return good.replace(old, new)

    def anew(written: str) -> str:
        """Another line, its hash made anew."""
        return finish(written[: written.rindex(',"hash":"')])[0]

    listed = [
        ("an empty line", "", "malformed"),
        ("no object", "[]", "malformed"),
        ("a hash of zeros", good[:-66] + "0" * 64 + '"}', "hash"),
        ("another version", anew(changed('"v":1', '"v":2')), "unsupported"),
        ("another detail with the old hash", changed("0.1.0", "0.1.1"), "hash"),
        ("another time with the old hash", changed(".123Z", ".124Z"), "hash"),
        ("fields in another order", anew(changed('"pid":4711,"version":"0.1.0"', '"version":"0.1.0","pid":4711')), "malformed"),
        ("a field twice", anew(changed('"pid":4711', '"pid":4711,"pid":4711')), "malformed"),
        ("white space", anew(changed('"pid":4711', '"pid": 4711')), "malformed"),
        ("an escape that is not needed", anew(changed("0.1.0", "0\\u002e1.0")), "malformed"),
        ("upper-case escapes", anew(changed("node-1", "\\u00E9")), "malformed"),
        ("a short escape", anew(changed("node-1", "\\n")), "malformed"),
        ("a field that the kind does not have", anew(changed('"pid":4711', '"oid":1,"pid":4711')), "malformed"),
        ("a field that the kind needs is missing", anew(changed('"pid":4711,', "")), "malformed"),
        ("a fraction", anew(changed("4711", "4711.5")), "malformed"),
        ("a number with a leading zero", anew(changed("4711", "04711")), "malformed"),
        ("a negative number", anew(changed("4711", "-4711")), "malformed"),
        ("null", anew(changed("4711", "null")), "malformed"),
        ("a number for a text", anew(changed('"0.1.0"', "1")), "malformed"),
        ("a text of 129 code units", anew(changed("0.1.0", "x" * 129)), "malformed"),
        ("a month that there is not", anew(changed("2025-11-22", "2025-13-22")), "malformed"),
        ("a day that there is not", anew(changed("2025-11-22", "2025-11-31")), "malformed"),
        ("a kind that begins with a digit", anew(changed("agent-started", "1agent")), "malformed"),
        ("sequence number 0", anew(changed('"seq":17', '"seq":0')), "malformed"),
    ]
    return [{"name": name, "source": "docs/formats/audit-log.md section 2", "line": bad, "flaw": flaw} for name, bad, flaw in listed]


write_or_check({"audit-log/lines.json": lines(), "audit-log/refused.json": refused()})
