"""A hundred thousand damaged files: run with `pytest -m slow tests/test_asset_fuzz.py`; takes two minutes.

No crash, no file over a second, memory under 300 MB in the process and in the one that reads manifests, and no
reservation that damage turned into a permission.
"""

from __future__ import annotations

import resource
from time import perf_counter

import pytest
from asset_mutations import Judge, Mutant, is_sound_again, mutants, opened, samples

from optout.acquisition.files import FileReader

COUNT = 100_000
SEED = 4
LONGEST = 1.0
MEMORY = 300_000


def judged(count: int, seed: int) -> tuple[list[Mutant], float]:
    """Reservations that damage opened, and the longest time of a file in seconds."""
    files, longest, wrong = samples(), 0.0, []
    with FileReader() as reader:
        judge = Judge(reader)
        before = {name: judge.states(data) for name, data in files.items()}
        for mutant in mutants(files, count, seed):
            begun = perf_counter()
            after = judge.states(mutant.data)
            longest = max(longest, perf_counter() - begun)
            if opened(before[mutant.name], after) and mutant.kind != "splice" and not is_sound_again(mutant):
                wrong.append(mutant)
    return wrong, longest


def memory() -> int:
    """Kilobytes at the peak, of this process and of its children."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


@pytest.mark.slow
def test_a_hundred_thousand_damaged_files():
    wrong, longest = judged(COUNT, SEED)
    assert [(mutant.name, mutant.kind) for mutant in wrong] == []
    assert longest < LONGEST
    assert memory() < MEMORY
