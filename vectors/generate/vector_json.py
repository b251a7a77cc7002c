"""Writes vectors as the formatter of this repository would, or compares them with what is there."""

import json
import sys
from pathlib import Path
from typing import Any

WIDTH = 120
VECTORS = Path(__file__).resolve().parent.parent


def write_or_check(files: dict[str, list[dict[str, Any]]]) -> None:
    """Writes each file, named by its path under `vectors/`; with `--check` on the command line it compares them instead."""
    check_only = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check_only:
        raise SystemExit(f"usage: {Path(sys.argv[0]).name} [--check]")
    for name, vectors in files.items():
        path = VECTORS / name
        text = written(vectors)
        if not check_only:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            raise SystemExit(f"{path} is not what this computes")
        print(f"{name}: {len(vectors)} vectors, {len(text)} bytes")


def written(vectors: list[dict[str, Any]]) -> str:
    """JSON of two spaces of indentation. A list of plain values stands on one line if that is short enough."""
    names = [vector["name"] for vector in vectors]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise SystemExit(f"two vectors of one name: {doubled}")
    return _value(vectors, "", 0) + "\n"


def _value(value: Any, indent: str, before: int) -> str:
    inner = indent + "  "
    if isinstance(value, dict) and value:
        fields = []
        for name, item in value.items():
            label = f"{inner}{json.dumps(name)}: "
            fields.append(label + _value(item, inner, len(label)))
        return "{\n" + ",\n".join(fields) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        if not isinstance(value[0], (dict, list)):
            line = json.dumps(value)
            # One more for the comma that may follow.
            if before + len(line) + 1 <= WIDTH:
                return line
        return "[\n" + ",\n".join(inner + _value(item, inner, len(inner)) for item in value) + f"\n{indent}]"
    return json.dumps(value)
