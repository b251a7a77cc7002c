"""Writes vectors/keyring/*.json. With --check it compares them with what is there instead."""

import sys
from pathlib import Path

from cases import create_cases, key_schedule_cases, merge_cases, not_opened_cases, open_cases, refused_cases
from check_envelope import check_envelope
from vector_json import written

VECTORS = Path(__file__).resolve().parent.parent
FILES = {
    "key-schedule.json": key_schedule_cases.cases,
    "create.json": create_cases.cases,
    "open.json": open_cases.cases,
    "not-opened.json": not_opened_cases.cases,
    "refused.json": refused_cases.cases,
    "merge.json": merge_cases.cases,
}


def main() -> None:
    check_only = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check_only:
        raise SystemExit("usage: generate.py [--check]")
    print(f"{check_envelope(VECTORS)} vectors of the envelope hold")
    for file, cases in FILES.items():
        path = VECTORS / "keyring" / file
        vectors = cases()
        text = written(vectors)
        if not check_only:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            raise SystemExit(f"{path} is not what this computes")
        print(f"{file}: {len(vectors)} vectors, {len(text)} bytes")


main()
