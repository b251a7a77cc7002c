"""Opens a keyring as docs/formats/keyring.md section 7.3 says, and notes what the member was asked."""

from dataclasses import dataclass, field
from typing import Any

from format.keyring import Keyring, Member, Record
from format.opening import MemberFailed, Opened, open_by_member, open_by_seal_key
from format.registry import METHODS
from format.rules import decode

from .workshop import Workshop


@dataclass
class Asking:
    """One try to open `keyring`: by a plain seal key, or by a member that fails for the records in `silent`."""

    workshop: Workshop
    keyring: Keyring
    member: Member | None = None
    seal_key: bytes | None = None
    silent: list[Record] = field(default_factory=list)
    answers: dict[bytes, bytes] = field(default_factory=dict)
    """By sealed KEK: other answers than those noted."""
    asked: list[bytes] = field(default_factory=list)

    def open(self) -> Opened:
        keyring = decode(self.keyring.encoded())
        if keyring != self.keyring:
            raise SystemExit("a keyring that does not read back")
        if self.seal_key is not None:
            return open_by_seal_key(keyring, self.seal_key)
        return open_by_member(keyring, self.member.seal_id, self.member.member_id, self._unseal)

    def inputs(self) -> dict[str, Any]:
        """The fields of a vector that say how it is opened; to be taken after `open`."""
        if self.seal_key is not None:
            return {"keyring": self.keyring.encoded().hex(), "sealKey": self.seal_key.hex()}
        return {
            "keyring": self.keyring.encoded().hex(),
            "sealId": self.member.seal_id.hex(),
            "memberId": self.member.member_id.hex(),
            "asked": [sealed_kek.hex() for sealed_kek in self.asked],
            "keks": [
                {
                    "sealedKek": record.sealed_kek.hex(),
                    "method": METHODS[record.method],
                    "kek": self._answer(record.sealed_kek).hex(),
                }
                for record in self.keyring.records
                if record.holder == self.member.sort_key and record not in self.silent
            ],
        }

    def _unseal(self, record: Record) -> bytes:
        self.asked.append(record.sealed_kek)
        if record in self.silent:
            raise MemberFailed
        return self._answer(record.sealed_kek)

    def _answer(self, sealed_kek: bytes) -> bytes:
        return self.answers.get(sealed_kek, self.workshop.keks[sealed_kek])
