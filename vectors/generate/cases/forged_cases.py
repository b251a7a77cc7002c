"""Rule 10 of section 5: keyrings that are sound but for their lineage."""

from dataclasses import replace
from typing import Any

from format import key_schedule
from format.keyring import Generation
from format.registry import BROKEN, CHAINED, GEN_PENDING, NO_PARENT

from .refused_sample import Sample, refusal
from .workshop import Workshop

FORGED = "KEYRING_LINEAGE_FORGED"
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


def cases(s: Sample) -> list[dict[str, Any]]:
    return [*_first(s), *_message(s), *_signers(s), *_signatures(s), *_clusters(s)]


def _first(s: Sample) -> list[dict[str, Any]]:
    """The first generation: its own signature, and what it has to do with the cluster id."""
    own, other = s.w.seal_keys[s.g1.id], s.w.drawn("attacker", 32)

    def case(name: str, signer: bytes, **fields: Any) -> dict[str, Any]:
        given = {"number": 1, "parent_id": NO_PARENT, **fields}
        return _case(name, s, s.w.generation(own, signer=signer, **given))

    return [
        case("the first generation signed by another", other),
        case("another first signing key, signed by itself", other, signing_key=key_schedule.public_signing_key(other)),
        case("the first generation signed for another key id", own, signed_key_id=b"another"),
        case("the first generation signed for another cluster", own, signed_cluster=bytes(16)),
    ]


def _message(s: Sample) -> list[dict[str, Any]]:
    """A second generation, signed by the first, that shows other fields than those signed."""
    signer = s.w.seal_keys[s.g1.id]

    def case(name: str, **signed_as: Any) -> dict[str, Any]:
        seal_key = s.w.new_seal_key("x")
        return _case(name, s, _pending(s, seal_key, signer, **signed_as))

    sound = _pending(s, s.w.new_seal_key("x"), signer)
    message = _message_of(s, sound)
    text_bytes = 4 + len("sealwright keyring v1 generation")
    return [
        case("signed with another cluster id", signed_cluster=s.w.drawn("another cluster", 16)),
        case("signed with another number", signed_number=3),
        case("signed with another id", signed_id=s.g2.id),
        case("signed with another parent id", signed_parent_id=s.g2.id),
        case("signed with no parent id", signed_parent_id=NO_PARENT),
        case("a broken step shown as chained", signed_step=BROKEN),
        case("a chained step shown as broken", step=BROKEN, signed_step=CHAINED),
        case("signed with another key id", signed_key_id=s.g2.key_id),
        case("signed with a longer key id", key_id=b"sw-1", signed_key_id=b"sw-12"),
        case("signed with another signing key", signed_signing_key=s.g2.signing_key),
        _case("the fields signed without their lengths", s, _resigned(sound, signer, _without_lengths(message))),
        _case("the fields signed with the state", s, _resigned(sound, signer, message + b"\0\0\0\1\1")),
        _case("the fields signed without the text", s, _resigned(sound, signer, message[text_bytes:])),
    ]


def _signers(s: Sample) -> list[dict[str, Any]]:
    """A second or third generation, signed by somebody else than its parent."""
    keys = s.w.seal_keys
    attacker = s.w.drawn("attacker", 32)
    second = s.w.new_seal_key("x")
    third = {"number": 3, "parent_id": s.g2.id}
    by_attacker = _pending(s, keys[s.g2.id], attacker)
    own_root = _pending(s, second, attacker, signing_key=key_schedule.public_signing_key(attacker))
    child = _pending(s, s.w.new_seal_key("y"), attacker, number=3, parent_id=own_root.id)
    return [
        _case("a generation signed by a stranger", s, _pending(s, second, attacker)),
        _case("a generation signed by itself", s, _pending(s, second, second)),
        _case("a generation signed by its sibling", s, _pending(s, second, keys[s.g2.id])),
        _case("a generation signed by the parent of its parent", s, _pending(s, second, keys[s.g1.id], **third)),
        _case("a generation signed by its own key, two steps on", s, _pending(s, second, second, **third)),
        _case("a broken step signed by a stranger", s, _pending(s, second, attacker, step=BROKEN)),
        _case("a generation that is forged, and one that follows it", s, own_root, child),
        _case("a forged generation that is active", s, replace(s.g2, signature=by_attacker.signature)),
        _case("a forged generation that is retired", s, replace(_pending(s, second, attacker), state=3)),
    ]


def _signatures(s: Sample) -> list[dict[str, Any]]:
    signature = s.g2.signature
    scalar = int.from_bytes(signature[32:], "little")
    second_form = signature[:32] + (scalar + GROUP_ORDER).to_bytes(32, "little")

    def case(name: str, changed: bytes) -> dict[str, Any]:
        return _case(name, s, replace(s.g2, signature=changed))

    return [
        case("a signature of zeros", bytes(64)),
        case("a signature with a bit of R changed", bytes([signature[0] ^ 1]) + signature[1:]),
        case("a signature with a bit of S changed", signature[:32] + bytes([signature[32] ^ 1]) + signature[33:]),
        case("a signature with S above the order of the group", second_form),
        case("the signature of another generation", s.b2.signature),
        case("the signature of the first generation", s.g1.signature),
        _case("a first signing key that is no point", s, replace(s.g1, signing_key=_no_point())),
        _case("a signing key with a bit changed", s, replace(s.g2, signing_key=_flipped(s.g2.signing_key))),
        _case("a first signing key with a bit changed", s, replace(s.g1, signing_key=_flipped(s.g1.signing_key))),
    ]


def _clusters(s: Sample) -> list[dict[str, Any]]:
    """Lineages that are sound in themselves, under a cluster id that is not theirs."""
    keyring = s.keyring()
    forged = Workshop("attacker's cluster")
    forged.first()
    # All signatures are right for this cluster id; only the first signing key does not give it.
    forged.cluster_id = s.w.cluster_id
    seal_key = forged.new_seal_key("g1")
    own_first = forged.generation(seal_key, signer=seal_key, number=1, parent_id=NO_PARENT)
    seal = forged.seal(1, "tpm")
    member = forged.member(seal, "node-1")
    whole = forged.keyring(7, own_first, seal, member, forged.record(member, own_first))
    moved = replace(keyring, cluster_id=s.w.drawn("another cluster", 16))
    return [
        refusal("the cluster id of another lineage", moved, FORGED),
        refusal("a cluster id with a bit changed", replace(keyring, cluster_id=_flipped(keyring.cluster_id)), FORGED),
        refusal("a lineage of its own under this cluster id", whole, FORGED),
    ]


def _case(name: str, s: Sample, *changed: Generation) -> dict[str, Any]:
    """Generations in the place of those with the same id, or beside the others."""
    keyring = s.keyring()
    ids = {generation.id for generation in changed}
    kept = [generation for generation in keyring.generations if generation.id not in ids]
    generations = sorted([*kept, *changed], key=lambda generation: generation.sort_key)
    return refusal(f"forged: {name}", replace(keyring, generations=generations), FORGED)


def _pending(s: Sample, seal_key: bytes, signer: bytes, **fields: Any) -> Generation:
    given = {"number": 2, "parent_id": s.g1.id, "state": GEN_PENDING, **fields}
    return s.w.generation(seal_key, signer=signer, **given)


def _message_of(s: Sample, generation: Generation) -> bytes:
    return key_schedule.lineage_message(
        cluster=s.w.cluster_id,
        number=generation.number,
        id=generation.id,
        parent_id=generation.parent_id,
        step=generation.step,
        key_id=generation.key_id,
        signing_key=generation.signing_key,
    )


def _without_lengths(message: bytes) -> bytes:
    fields = b""
    while message:
        length = int.from_bytes(message[:4])
        fields += message[4 : 4 + length]
        message = message[4 + length :]
    return fields


def _resigned(generation: Generation, signer: bytes, message: bytes) -> Generation:
    return replace(generation, signature=key_schedule.sign(signer, message))


def _flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def _no_point() -> bytes:
    """An encoding of no point of Ed25519: x would have to be a root of a number that has none."""
    prime = 2**255 - 19
    d = -121665 * pow(121666, -1, prime) % prime
    y = 2
    while pow((y * y - 1) * pow(d * y * y + 1, -1, prime) % prime, (prime - 1) // 2, prime) == 1:
        y += 1
    return y.to_bytes(32, "little")
