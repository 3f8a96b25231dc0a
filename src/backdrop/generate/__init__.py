"""Case-study samples: Pythia events through a parametric ATLAS-like detector, to analysis columns in Parquet.

Needs the extra ``generate`` (Pythia 8 and FastJet).
"""

from __future__ import annotations

from .cases import CASES, Case
from .detector import Detector
from .run import generate
from .total import Generated

__all__ = ["CASES", "Case", "Detector", "Generated", "fragment", "generate"]


def fragment(name: str) -> str:
    """Return the regions, roles and derived columns of a case as YAML, to start a configuration from.

    Raises
    ------
    ConfigError
        If there is no such case.

    Examples
    --------
    >>> print(fragment("zee").splitlines()[0])
    # Z → ee: charge flips
    """
    from importlib.resources import files

    from .cases import case

    family = case(name).fragment
    return (files(__name__) / "fragments" / f"{family}.yaml").read_text(encoding="utf-8")
