"""Writes vectors as the formatter of this repository would."""

import json
from importlib.metadata import version
from typing import Any

WIDTH = 120
COMPUTED = f"docs/formats/keyring.md; computed with Python cryptography {version('cryptography')}"
RULES = "docs/formats/keyring.md sections 3 to 6"


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
