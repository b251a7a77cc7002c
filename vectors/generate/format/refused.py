"""What the documents refuse, by its code."""


class Refused(Exception):
    """Raised with one of the codes of docs/formats/envelope.md or keyring.md."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code = code
