"""Bytes that stand for random ones. The same label gives the same bytes for ever."""

import hashlib


def drawn(label: str, length: int) -> bytes:
    return hashlib.shake_256(b"sealwright keyring vectors: " + label.encode()).digest(length)
