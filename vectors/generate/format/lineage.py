"""How generations follow each other: docs/formats/keyring.md sections 4.6 and 6.5, and where links lead."""

from collections.abc import Iterable

from . import key_schedule
from .keyring import Generation, Link
from .refused import Refused
from .registry import BROKEN, GEN_ACTIVE, NO_PARENT


class Lineage:
    """Generations that keep rule 2 of section 5: each but the first has its parent listed."""

    def __init__(self, generations: Iterable[Generation]) -> None:
        self.by_id = {generation.id: generation for generation in generations}

    def path_from_first(self, generation: Generation) -> list[Generation]:
        """The first generation, each one on the way, and the one asked for."""
        path = [generation]
        while path[0].parent_id != NO_PARENT:
            path.insert(0, self.by_id[path[0].parent_id])
        return path

    def current(self) -> Generation:
        """Section 4.6."""
        active = [generation for generation in self.by_id.values() if generation.state == GEN_ACTIVE]

        def rank(generation: Generation) -> tuple[int, int, bytes]:
            return (-len(self.breaks_before(generation)), -generation.number, generation.id)

        if not active:
            raise Refused("KEYRING_MALFORMED", "no active generation")
        return min(active, key=rank)

    def breaks_before(self, generation: Generation) -> list[Generation]:
        """The generations at the far end of each broken step on the way, the one asked for counted."""
        return [passed for passed in self.path_from_first(generation) if passed.step == BROKEN]

    def comes_after(self, generation: Generation, ancestor: Generation) -> bool:
        """True for the ancestor itself, too."""
        return any(passed.id == ancestor.id for passed in self.path_from_first(generation))

    def links_lead(self, links: Iterable[Link], start: Generation, end: Generation) -> bool:
        """True without any link if both are one."""
        linked = {link.to for link in links}
        path = [generation.id for generation in self.path_from_first(end)]
        if start.id not in path:
            return False
        return linked.issuperset(path[path.index(start.id) + 1 :])


def check_genuine(cluster_id: bytes, generations: list[Generation]) -> None:
    """Rule 10 of section 5. The other rules hold already."""
    by_id = {generation.id: generation for generation in generations}
    for generation in generations:
        parent = by_id.get(generation.parent_id, generation)
        if parent is generation and key_schedule.cluster_id(generation.signing_key) != cluster_id:
            raise Refused("KEYRING_LINEAGE_FORGED", "the first signing key does not give the cluster id")
        message = key_schedule.lineage_message(
            cluster=cluster_id,
            number=generation.number,
            id=generation.id,
            parent_id=generation.parent_id,
            step=generation.step,
            key_id=generation.key_id,
            signing_key=generation.signing_key,
        )
        if not key_schedule.verifies(parent.signing_key, generation.signature, message):
            raise Refused("KEYRING_LINEAGE_FORGED", f"the signature of generation {generation.number}")
