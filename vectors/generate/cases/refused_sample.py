"""The sound keyring that refused_cases.py and forged_cases.py break in one place each."""

from dataclasses import replace
from typing import Any

from cases.sources import RULES
from format.keyring import Keyring
from format.registry import BROKEN, GEN_PENDING, PKCS11, REMOVED, TPM

from .workshop import Entry, Workshop

MALFORMED = "KEYRING_MALFORMED"
UNSUPPORTED = "KEYRING_UNSUPPORTED"
TOO_LARGE = "KEYRING_TOO_LARGE"


class Sample:
    """Two chained generations and a pending one after a break; three seals, three members, two records, a link."""

    def __init__(self) -> None:
        self.w = w = Workshop("refused")
        self.g1 = w.first()
        self.g2 = w.after(self.g1, "g2")
        self.b2 = w.after(self.g1, "b2", step=BROKEN, state=GEN_PENDING)
        self.link = w.link(self.g1, self.g2)
        self.tpm = w.seal(TPM, "tpm")
        self.token = w.seal(PKCS11, "hsm")
        self.gone = w.seal(TPM, "gone", state=REMOVED, entry_version=2)
        self.node_1 = w.member(self.tpm, "node-1")
        self.node_2 = w.member(self.tpm, "node-2", public_key_bytes=8)
        self.left = w.member(self.tpm, "left", state=REMOVED, entry_version=2)
        self.record_1 = w.record(self.node_1, self.g1)
        self.record_2 = w.record(self.node_2, self.g2)
        self.entries: list[Entry] = [
            *(self.g1, self.g2, self.b2, self.link, self.tpm, self.token, self.gone),
            *(self.node_1, self.node_2, self.left, self.record_1, self.record_2),
        ]

    def keyring(self, *more: Entry, without: tuple[Entry, ...] = ()) -> Keyring:
        return self.w.keyring(7, *(entry for entry in self.entries if entry not in without), *more)

    def small(self, *more: Entry) -> Keyring:
        """One generation, one seal, one member, one record: for what repeats."""
        return self.w.keyring(1, self.g1, self.tpm, self.node_1, self.record_1, *more)

    def changed(self, entry: Entry, **fields: Any) -> Keyring:
        """The entry with other fields, which do not move it."""
        return self.keyring(replace(entry, **fields), without=(entry,))


def refusal(name: str, keyring: Keyring | bytes, code: str, or_code: str | None = None) -> dict[str, Any]:
    data = keyring if isinstance(keyring, bytes) else keyring.encoded()
    return {
        "name": name,
        "source": RULES,
        "keyring": data.hex(),
        "code": code,
        **({} if or_code is None else {"orCode": or_code}),
    }
