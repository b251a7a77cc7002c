"""vectors/keyring/merge.json"""

from dataclasses import replace
from typing import Any

from .merge_entry_cases import entry_cases
from .merge_lineage_cases import lineage_cases
from .merging_sample import Sample, merging


def cases() -> list[dict[str, Any]]:
    return [*_refused(Sample()), *entry_cases(Sample()), *lineage_cases()]


def _refused(s: Sample) -> list[dict[str, Any]]:
    g2 = s.w.after(s.g1, "g2")
    base = s.keyring(5)
    ahead = s.keyring(6, g2, s.w.link(s.g1, g2))
    other = Sample("merge, another cluster")
    both = {**s.held(s.g1), **other.held(other.g1)}
    return [
        merging("another cluster", base, other.keyring(5), both, "KEYRING_OTHER_CLUSTER"),
        merging("the key of one current generation is not held", base, ahead, s.held(s.g1), "KEYRING_KEY_UNKNOWN"),
        merging("the keys of both current generations are not held", base, base, s.held(g2), "KEYRING_KEY_UNKNOWN"),
        merging("one is not authentic", base, replace(ahead, revision=7), s.held(s.g1, g2), "KEYRING_AUTH_FAILED"),
        merging(
            "one has the MAC of an older generation",
            base,
            s.w.maced_by(s.g1, ahead),
            s.held(s.g1, g2),
            "KEYRING_AUTH_FAILED",
        ),
        merging("the key of an older generation is not held", ahead, ahead, s.held(g2), ahead),
    ]
