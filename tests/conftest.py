"""What every test relies on: one thread, no display, the same examples each time, and where shared samples lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before anything imports NumPy: two test processes on two cores, so that no test may start threads of its own.
for _limit in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
):
    os.environ.setdefault(_limit, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from hypothesis import settings  # noqa: E402  (the limits come first)

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the samples that are too large for the repository; the test is skipped where there is none."""
    named = os.environ.get("BACKDROP_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if folder.is_dir():
        return folder
    if named:
        pytest.fail(f"BACKDROP_DATA names {named}, which is not a folder")
    pytest.skip("no shared samples: set BACKDROP_DATA to their folder")
