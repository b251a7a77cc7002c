"""Writes vectors/keyring/*.json. With --check it compares them with what is there instead."""

from cases import create_cases, key_schedule_cases, merge_cases, not_opened_cases, open_cases, refused_cases
from check_envelope import check_envelope
from vector_json import VECTORS, write_or_check

print(f"{check_envelope(VECTORS)} vectors of the envelope hold")
write_or_check(
    {
        "keyring/key-schedule.json": key_schedule_cases.cases(),
        "keyring/create.json": create_cases.cases(),
        "keyring/open.json": open_cases.cases(),
        "keyring/not-opened.json": not_opened_cases.cases(),
        "keyring/refused.json": refused_cases.cases(),
        "keyring/merge.json": merge_cases.cases(),
    }
)
