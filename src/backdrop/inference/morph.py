"""Morphs: how the yields of a process go from its nominal templates to the varied ones, and beyond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import ConfigError
from . import _kernels
from .density import Interpolated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["Moment", "Morph", "Morphed", "Rule", "Vertical", "morphed"]

Rule = Literal["smooth", "piecewise", "quadratic"]
"""How templates at minus, zero and plus one are weighted in between and beyond.

The nominal template has the weight ``1 - c(a) / 8``, the varied ones ``c(a) / 16 + a / 2`` and ``c(a) / 16 - a / 2``,
with c of `piecewise` ``8 |a|`` (straight lines from template to template, with a kink at zero), of `quadratic` ``8 a²``
(a parabola through the three), and of `smooth` a polynomial up to one and ``8 |a|`` beyond, twice differentiable
(pyhf's ``code4p``).
"""

RULES: dict[str, int] = {
    "smooth": _kernels.SMOOTH,
    "piecewise": _kernels.PIECEWISE,
    "quadratic": _kernels.QUADRATIC,
}


@dataclass(frozen=True)
class Vertical:
    """Each bin's yield is the weighted sum of the templates' yields in it.

    Assumes
    -------
    Small changes of a yield, not of a position.

    Fails when
    ----------
    A peak moves by more than its width; halfway there are two peaks.
    """

    rule: Rule = "smooth"

    def __post_init__(self) -> None:
        _check(self.rule)


@dataclass(frozen=True)
class Moment:
    """Moment morphing: templates are moved and stretched to a common mean and width before they are added.

    With weights ``c_i(a)``, the mean and the width are ``m = sum c_i m_i`` and ``s = sum c_i s_i``, and the density is
    ``sum_i c_i(a) f_i(m_i + (x - m) s_i / s) s_i / s``, each term normalised in the range of the templates; the yield
    is ``sum c_i N_i``. Several nuisances add up in weights, mean and width. `quadratic` has the weights of the
    reference, `smooth` the same at zero and plus and minus one, but straight lines beyond.

    Assumes
    -------
    Densities that die out at the ends of the templates' range, or hardly change there: what is moved in from beyond is
    the density at the end.

    Fails when
    ----------
    A distribution is cut off steeply, or nuisances are so far out that the width becomes zero.

    References
    ----------
    Baak, Gadatsch, Harrington, Verkerke, Nucl. Instrum. Meth. A 771 (2015) 39, arXiv:1410.7388.
    """

    rule: Rule = "smooth"

    def __post_init__(self) -> None:
        _check(self.rule)


Morph = Vertical | Moment


@dataclass(frozen=True, eq=False)
class Morphed:
    """Cells of a likelihood whose yields are moment-morphed.

    Attributes
    ----------
    cells
        The cells, one after the other, shape (bins,).
    alphas, shifts
        Parameter of each nuisance, and its row among the shifts of the likelihood, shapes (nuisances,).
    rule
        The rule's number.
    edges
        Edges of the cells' bins, shape (bins + 1,).
    nodes, heights, areas
        The densities of the templates (nominal, then up and down of each nuisance) and their integrals at common nodes,
        shapes (nodes,), (templates, nodes) and (templates, nodes).
    yields, means, widths
        Yields, means and standard deviations of the templates, shapes (templates,).
    """

    cells: Index
    alphas: Index
    shifts: Index
    rule: int
    edges: Array
    nodes: Array
    heights: Array
    areas: Array
    yields: Array
    means: Array
    widths: Array

    def add(self, parameters: Array, cells: Array, tilts: Array) -> None:
        """Add the yields at some points to cells, and their derivatives to the slopes of the shifts.

        Shapes are (points, parameters), (points, cells) and (points, cells, shifts).
        """
        templates = (self.nodes, self.heights, self.areas, self.yields, self.means, self.widths)
        places = (int(self.cells[0]), self.shifts, cells, tilts)
        _kernels.morph(parameters, self.alphas, self.rule, self.edges, *templates, *places)


def morphed(
    templates: Sequence[Interpolated], rule: Rule, edges: Array, cells: Index, alphas: Index, shifts: Index
) -> Morphed:
    """Return the moment morphing between a nominal density and, for each nuisance, one up and one down.

    Raises
    ------
    ConfigError
        If the densities differ in their edges, or one has no width.
    """
    nominal = templates[0]
    for one in templates[1:]:
        if not np.array_equal(one.nodes, nominal.nodes):
            raise ConfigError("moment morphing needs the same fine edges for the nominal and all varied densities")
    means, widths = (np.array(column) for column in zip(*(one.moments for one in templates), strict=True))
    if (widths <= 0.0).any():
        raise ConfigError("moment morphing needs densities with a positive width")
    totals = np.array([one.total for one in templates])
    heights, areas = (np.array([getattr(one, name) for one in templates]) for name in ("heights", "areas"))
    return Morphed(cells, alphas, shifts, RULES[rule], edges, nominal.nodes, heights, areas, totals, means, widths)


def _check(rule: str) -> None:
    if rule not in RULES:
        raise ConfigError(f"no interpolation rule '{rule}'; there are {', '.join(RULES)}")
