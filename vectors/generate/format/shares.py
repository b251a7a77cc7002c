"""Share sets, shares and their text: docs/formats/shamir-share.md. The sealed KEK: docs/formats/shamir-sealed-kek.md."""

import hashlib
from dataclasses import dataclass

from . import x_wing

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
GROUPS = 24


def hash_of(*fields: bytes) -> bytes:
    return hashlib.sha256(_length_prefixed(*fields)).digest()


def member_id(wrapping_key: bytes) -> bytes:
    return hash_of(b"sealwright shamir v1 member id", wrapping_key)[:16]


@dataclass(frozen=True)
class Share:
    cluster_id: bytes
    member_id: bytes
    threshold: int
    shares: int
    index: int
    value: bytes

    def described(self) -> bytes:
        return bytes([self.threshold, self.shares, self.index])

    def check_value(self) -> bytes:
        return hash_of(
            b"sealwright shamir v1 check value", self.cluster_id, self.member_id, self.described(), self.value
        )

    def text(self) -> str:
        payload = self.cluster_id + self.member_id + self.described() + self.value
        return text_of(payload + hash_of(b"sealwright shamir v1 share checksum", payload)[:8])


def text_of(payload: bytes) -> str:
    """75 bytes as 24 groups."""
    whole = int.from_bytes(payload)
    digits = [whole >> (5 * (119 - at)) & 31 for at in range(120)]
    groups = [digits[5 * place : 5 * place + 5] for place in range(GROUPS)]
    return "sw-share-1-" + "-".join(
        "".join(DIGITS[digit] for digit in [*group, check_digit(group, place)]) for place, group in enumerate(groups)
    )


def check_digit(group: list[int], place: int) -> int:
    total = place
    for at, digit in enumerate(group):
        for _ in range(5 - at):
            digit = digit << 1 ^ (0x25 if digit & 16 else 0)
        total ^= digit
    return total


def data(shares: list[Share]) -> bytes:
    """The member's data: the check values."""
    first = shares[0]
    return b"SWSC" + bytes([1, first.threshold, first.shares]) + b"".join(share.check_value() for share in shares)


def split(secret: bytes, threshold: int, shares: int, coefficients: bytes) -> list[bytes]:
    """Byte by byte; `coefficients` holds those of degree 1 for all bytes, then those of degree 2, and so on."""
    length = len(secret)
    rows = [secret] + [coefficients[length * degree : length * (degree + 1)] for degree in range(threshold - 1)]
    return [bytes(_evaluated([row[at] for row in rows], x) for at in range(length)) for x in range(1, shares + 1)]


def combined(points: dict[int, bytes]) -> bytes:
    """The values at 0, by Lagrange."""
    total = bytes(len(next(iter(points.values()))))
    for x, value in points.items():
        weight = 1
        for other in points.keys() - {x}:
            weight = _product(weight, _product(other, _power(other ^ x, 254)))
        total = bytes(a ^ _product(weight, b) for a, b in zip(total, value, strict=True))
    return total


def sealed_kek(wrapping_key: bytes, kek: bytes, eseed: bytes) -> bytes:
    member = member_id(wrapping_key)
    enc, ciphertext = x_wing.hpke_seal(wrapping_key, sealed_kek_info(member), kek, eseed)
    return b"SWSH\1" + member + enc + ciphertext


def sealed_kek_info(member: bytes) -> bytes:
    return _length_prefixed(b"sealwright shamir v1 sealed kek", member)


def _length_prefixed(*fields: bytes) -> bytes:
    return b"".join(len(field).to_bytes(4) + field for field in fields)


def _evaluated(coefficients: list[int], x: int) -> int:
    total = 0
    for degree, coefficient in enumerate(coefficients):
        total ^= _product(coefficient, _power(x, degree))
    return total


def _power(a: int, exponent: int) -> int:
    result = 1
    for _ in range(exponent):
        result = _product(result, a)
    return result


def _product(a: int, b: int) -> int:
    """Polynomials over GF(2), multiplied at length and divided by x^8 + x^4 + x^3 + x + 1."""
    product = 0
    for bit in range(8):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(14, 7, -1):
        if product >> bit & 1:
            product ^= 0x11B << (bit - 8)
    return product
