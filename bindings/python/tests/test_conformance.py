"""The conformance vectors: one scenario, one trace, in every language."""

from __future__ import annotations

from pathlib import Path

import pytest
from conformance import LACKS, Runner

DIRECTORY = Path(__file__).parents[3] / "tests" / "conformance"
SCENARIOS = [
    path
    for path in sorted(DIRECTORY.glob("*.mbt"))
    if not LACKS & {line[6:] for line in path.read_text().splitlines() if line.startswith("needs ")}
]


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_python_gives_the_expected_trace(path: Path) -> None:
    assert Runner().play(path.read_text()) == path.with_suffix(".trace").read_text()


def test_enough_scenarios_are_played() -> None:
    assert len(SCENARIOS) > 250
