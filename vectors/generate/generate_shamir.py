"""Writes vectors/shamir-share/*.json and vectors/shamir-sealed-kek/*.json. With --check it compares them instead."""

import json

from cases import shamir_cases
from format import shares as sharing
from vector_json import VECTORS, write_or_check


def check_published() -> int:
    """What others computed holds here, too."""
    vectors = json.loads((VECTORS / "shamir-share/secret-sharing.json").read_text())
    for vector in vectors:
        values = [bytes.fromhex(text) for text in vector["values"]]
        points = dict(zip(vector["indexes"], values, strict=True))
        _same(vector, sharing.combined(points), bytes.fromhex(vector["secret"]))
    return len(vectors)


def _same(vector: dict[str, str], computed: object, published: object) -> None:
    if computed != published:
        raise SystemExit(f"{vector['name']}: not what this computes")


print(f"{check_published()} published vectors hold")
write_or_check(
    {
        "shamir-share/share-sets.json": shamir_cases.share_set_cases(),
        "shamir-share/texts.json": shamir_cases.text_cases(),
        "shamir-share/refused-texts.json": shamir_cases.refused_text_cases(),
        "shamir-share/refused-data.json": shamir_cases.refused_data_cases(),
        "shamir-sealed-kek/x-wing.json": shamir_cases.x_wing_cases(),
        "shamir-sealed-kek/key-schedule.json": shamir_cases.key_schedule_cases(),
        "shamir-sealed-kek/open.json": shamir_cases.open_cases(),
        "shamir-sealed-kek/not-opened.json": shamir_cases.not_opened_cases(),
    }
)
