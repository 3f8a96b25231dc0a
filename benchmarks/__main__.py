"""``python -m benchmarks [NAME ...] [--list]``."""

from __future__ import annotations

import os
import sys

# Before anything imports NumPy or torch: both sides run one thread, on one core.
for _limit in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
):
    os.environ[_limit] = "1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

from benchmarks.harness import main  # noqa: E402  (the limits come first)

if __name__ == "__main__":
    sys.exit(main())
