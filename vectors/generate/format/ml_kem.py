"""ML-KEM-768 encapsulation with given randomness (FIPS 203), which the library does not offer. Slow, and not constant time."""

import hashlib

N, Q, K = 256, 3329, 3
ETA_1, ETA_2, D_U, D_V = 2, 2, 10, 4
PUBLIC_KEY_BYTES = 384 * K + 32

Poly = list[int]


def _bit_reversed(value: int) -> int:
    return int(f"{value:07b}"[::-1], 2)


ZETAS = [pow(17, _bit_reversed(i), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * _bit_reversed(i) + 1, Q) for i in range(128)]


def encapsulate(public_key: bytes, m: bytes) -> tuple[bytes, bytes]:
    """Algorithm 17: the shared secret and the ciphertext."""
    assert len(public_key) == PUBLIC_KEY_BYTES and len(m) == 32
    digest = hashlib.sha3_512(m + hashlib.sha3_256(public_key).digest()).digest()
    return digest[:32], _encrypt(public_key, m, digest[32:])


def _encrypt(public_key: bytes, m: bytes, coins: bytes) -> bytes:
    """Algorithm 14."""
    t_hat = [_decoded(public_key[384 * i : 384 * (i + 1)], 12) for i in range(K)]
    rho = public_key[384 * K :]
    noise = [_sampled_noise(ETA_1, coins, n) for n in range(K)]
    errors = [_sampled_noise(ETA_2, coins, K + n) for n in range(K)]
    error = _sampled_noise(ETA_2, coins, 2 * K)
    y_hat = [_ntt(poly) for poly in noise]
    # The matrix is transposed here: column i, row j.
    u = [_sum(_inverse_ntt(_dot([_sampled_uniform(rho, i, j) for j in range(K)], y_hat)), errors[i]) for i in range(K)]
    message = [_decompressed(bit, 1) for bit in _decoded(m, 1)]
    v = _sum(_sum(_inverse_ntt(_dot(t_hat, y_hat)), error), message)
    return b"".join(_encoded([_compressed(x, D_U) for x in poly], D_U) for poly in u) + _encoded(
        [_compressed(x, D_V) for x in v], D_V
    )


def _sampled_uniform(rho: bytes, i: int, j: int) -> Poly:
    """Algorithm 7."""
    stream = hashlib.shake_128(rho + bytes([i, j])).digest(3 * N * 4)
    poly: Poly = []
    for at in range(0, len(stream), 3):
        a, b, c = stream[at : at + 3]
        poly += [d for d in (a | (b & 15) << 8, b >> 4 | c << 4) if d < Q]
        if len(poly) >= N:
            return poly[:N]
    raise ValueError("the stream was too short")


def _sampled_noise(eta: int, coins: bytes, n: int) -> Poly:
    """Algorithm 8."""
    bits = _decoded(hashlib.shake_256(coins + bytes([n])).digest(64 * eta), 1)
    halves = [sum(bits[at : at + eta]) for at in range(0, len(bits), eta)]
    return [(halves[2 * i] - halves[2 * i + 1]) % Q for i in range(N)]


def _ntt(poly: Poly) -> Poly:
    """Algorithm 9."""
    f, zeta, length = list(poly), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            for j in range(start, start + length):
                t = ZETAS[zeta] * f[j + length] % Q
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
            zeta += 1
        length //= 2
    return f


def _inverse_ntt(poly: Poly) -> Poly:
    """Algorithm 10."""
    f, zeta, length = list(poly), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            for j in range(start, start + length):
                t = f[j]
                f[j] = (t + f[j + length]) % Q
                f[j + length] = ZETAS[zeta] * (f[j + length] - t) % Q
            zeta -= 1
        length *= 2
    return [x * 3303 % Q for x in f]


def _dot(a: list[Poly], b: list[Poly]) -> Poly:
    """Algorithm 11, added up."""
    total = [0] * N
    for f, g in zip(a, b, strict=True):
        for i in range(128):
            f0, f1, g0, g1 = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
            total[2 * i] = (total[2 * i] + f0 * g0 + f1 * g1 * GAMMAS[i]) % Q
            total[2 * i + 1] = (total[2 * i + 1] + f0 * g1 + f1 * g0) % Q
    return total


def _sum(a: Poly, b: Poly) -> Poly:
    return [(x + y) % Q for x, y in zip(a, b, strict=True)]


def _compressed(x: int, bits: int) -> int:
    return ((x << bits) + Q // 2) // Q % (1 << bits)


def _decompressed(y: int, bits: int) -> int:
    return (y * Q + (1 << (bits - 1))) >> bits


def _encoded(values: list[int], bits: int) -> bytes:
    whole = sum(value << (bits * at) for at, value in enumerate(values))
    return whole.to_bytes(len(values) * bits // 8, "little")


def _decoded(data: bytes, bits: int) -> list[int]:
    whole = int.from_bytes(data, "little")
    return [whole >> (bits * at) & ((1 << bits) - 1) for at in range(len(data) * 8 // bits)]
