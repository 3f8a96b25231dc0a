"""Kinematics: four-vectors as columns, pairings of jets, the mass plane, the top veto and the transverse thrust axis.

Angles in rad, energies, momenta and masses in GeV; every function takes arrays (or numbers) and broadcasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from .errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Four = tuple[Array, Array, Array, Array]

__all__ = [
    "add",
    "closest_pairing",
    "delta_phi",
    "delta_r",
    "invariant_mass",
    "mass",
    "mass_pairing",
    "pair_columns",
    "pairings",
    "pseudorapidity",
    "ring",
    "thrust_angle",
    "to_cartesian",
    "to_cylindrical",
    "total",
    "transverse_mass",
    "x_hh",
    "x_wt",
]

W_MASS = 80.4
TOP_MASS = 172.5


def pseudorapidity(px: ArrayLike, py: ArrayLike, pz: ArrayLike) -> Array:
    """Return ``arcsinh(pz / pT)``; infinite along the beam, NaN for a vanishing momentum.

    Examples
    --------
    >>> float(pseudorapidity(3.0, 4.0, 0.0))
    0.0
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.arcsinh(np.asarray(pz, np.float64) / np.hypot(px, py)))


def mass(px: ArrayLike, py: ArrayLike, pz: ArrayLike, e: ArrayLike) -> Array:
    """Return ``√(E² − p²)``, minus ``√(p² − E²)`` where rounding or smearing made it space-like.

    Examples
    --------
    >>> float(mass(0.0, 0.0, 3.0, 5.0)), float(mass(0.0, 0.0, 5.0, 3.0))
    (4.0, -4.0)
    """
    p = np.sqrt(np.square(px) + np.square(py) + np.square(pz))
    square = (np.asarray(e, np.float64) - p) * (np.asarray(e, np.float64) + p)
    return np.asarray(np.copysign(np.sqrt(np.abs(square)), square))


def to_cartesian(pt: ArrayLike, eta: ArrayLike, phi: ArrayLike, mass: ArrayLike = 0.0) -> Four:
    """Return (px, py, pz, E) of particles given by pT, η, φ and mass.

    Examples
    --------
    >>> [round(float(x), 3) for x in to_cartesian(5.0, 0.0, np.pi / 2, 12.0)]
    [0.0, 5.0, 0.0, 13.0]
    """
    pt, eta, phi, mass = (np.asarray(x, np.float64) for x in (pt, eta, phi, mass))
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    energy = np.sqrt(np.square(pt * np.cosh(eta)) + np.square(mass))
    px, py, pz, energy = np.broadcast_arrays(px, py, pz, energy)
    return px, py, pz, energy


def to_cylindrical(px: ArrayLike, py: ArrayLike, pz: ArrayLike, e: ArrayLike) -> Four:
    """Return (pT, η, φ, mass), φ in (−π, π]: the inverse of :func:`to_cartesian`.

    Examples
    --------
    >>> [round(float(x), 3) for x in to_cylindrical(3.0, 4.0, 0.0, 13.0)]
    [5.0, 0.0, 0.927, 12.0]
    """
    pt, phi = np.hypot(px, py), np.arctan2(py, px)
    return np.asarray(pt), pseudorapidity(px, py, pz), np.asarray(phi), mass(px, py, pz, e)


def total(pt: ArrayLike, eta: ArrayLike, phi: ArrayLike, mass: ArrayLike = 0.0, *, axis: int = -1) -> Four:
    """Return (pT, η, φ, mass) of the sum of the four-vectors along `axis`.

    Examples
    --------
    >>> back_to_back = total([50.0, 50.0], [0.0, 0.0], [0.0, np.pi])
    >>> round(float(back_to_back[0]), 6), round(float(back_to_back[3]), 6)
    (0.0, 100.0)
    """
    px, py, pz, energy = (x.sum(axis=axis) for x in to_cartesian(pt, eta, phi, mass))
    return to_cylindrical(px, py, pz, energy)


def add(*particles: Sequence[ArrayLike]) -> Four:
    """Return the sum of four-vectors, each given as (pT, η, φ, mass) and of shapes that fit.

    Examples
    --------
    >>> [round(float(x), 3) for x in add((50.0, 0.0, 0.0, 0.0), (50.0, 0.0, np.pi / 2, 0.0))]
    [70.711, 0.0, 0.785, 70.711]
    """
    parts = [to_cartesian(*(x for x in one)) for one in particles]
    return to_cylindrical(*(sum(component[1:], component[0]) for component in zip(*parts, strict=True)))


def invariant_mass(pt: ArrayLike, eta: ArrayLike, phi: ArrayLike, mass: ArrayLike = 0.0, *, axis: int = -1) -> Array:
    """Return the mass of the sum of the four-vectors along `axis`.

    Examples
    --------
    >>> float(invariant_mass([30.0, 40.0], [1.0, 1.0], [0.0, np.pi]).round(3))
    69.282
    """
    return total(pt, eta, phi, mass, axis=axis)[3]


def delta_phi(first: ArrayLike, second: ArrayLike) -> Array:
    """Return ``φ₁ − φ₂`` folded into [−π, π).

    Examples
    --------
    >>> float(delta_phi(3.0, -3.0).round(4))
    -0.2832
    """
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return np.asarray((difference + np.pi) % (2 * np.pi) - np.pi)


def delta_r(eta1: ArrayLike, phi1: ArrayLike, eta2: ArrayLike, phi2: ArrayLike) -> Array:
    """Return ``√(Δη² + Δφ²)``.

    Examples
    --------
    >>> float(delta_r(0.0, 3.1, 0.0, -3.1).round(4))
    0.0832
    """
    return np.hypot(np.asarray(eta1, np.float64) - np.asarray(eta2, np.float64), delta_phi(phi1, phi2))


def transverse_mass(pt: ArrayLike, phi: ArrayLike, met: ArrayLike, met_phi: ArrayLike) -> Array:
    """Return ``√(2 pT E_T^miss (1 − cos Δφ))``.

    Examples
    --------
    >>> float(transverse_mass(40.0, 0.0, 40.0, np.pi))
    80.0
    """
    pt, met = np.asarray(pt, np.float64), np.asarray(met, np.float64)
    return np.asarray(np.sqrt(2 * pt * met * (1 - np.cos(delta_phi(phi, met_phi)))))


# ---- the mass plane --------------------------------------------------------------------------------------------------


def x_hh(
    m1: ArrayLike,
    m2: ArrayLike,
    *,
    centre: tuple[float, float] = (124.0, 117.0),
    resolution: tuple[float, float] = (0.1, 0.1),
) -> Array:
    """Return ``X_HH = √(((m₁ − c₁)/(r₁ m₁))² + ((m₂ − c₂)/(r₂ m₂))²)``; infinite where a mass vanishes.

    References
    ----------
    ATLAS, arXiv:2301.03212, equation 2: signal region X_HH < 1.6.

    Examples
    --------
    >>> float(x_hh(124.0, 130.0).round(4))
    1.0
    """
    m1, m2 = np.asarray(m1, np.float64), np.asarray(m2, np.float64)
    with np.errstate(divide="ignore"):
        first, second = (m1 - centre[0]) / (resolution[0] * m1), (m2 - centre[1]) / (resolution[1] * m2)
    return np.asarray(np.hypot(first, second))


def ring(m1: ArrayLike, m2: ArrayLike, *, centre: tuple[float, float] = (124.0, 117.0), shift: float = 1.05) -> Array:
    """Return the distance ``√((m₁ − s c₁)² + (m₂ − s c₂)²)`` in the mass plane, in GeV.

    References
    ----------
    ATLAS, arXiv:2301.03212, equation 4: control regions below 45 GeV, outside the signal region.

    Examples
    --------
    >>> float(ring(1.05 * 124.0 + 3.0, 1.05 * 117.0 - 4.0).round(6))
    5.0
    """
    return np.asarray(np.hypot(np.asarray(m1, np.float64) - shift * centre[0], np.asarray(m2) - shift * centre[1]))


def x_wt(
    pt: ArrayLike,
    eta: ArrayLike,
    phi: ArrayLike,
    mass: ArrayLike,
    *,
    b_jets: int = 4,
    resolution: float = 0.1,
) -> Array:
    """Return the distance of the best top candidate from the W and top masses.

    ``X_Wt = min √(((m_W − 80.4)/(r m_W))² + ((m_t − 172.5)/(r m_t))²)`` over one of the first `b_jets` jets as the b
    jet and any two others as the W; infinite with fewer than three jets.

    Parameters
    ----------
    pt, eta, phi, mass
        Jets, shape (n, k); absent ones have pT = 0.

    References
    ----------
    ATLAS, arXiv:2301.03212, section 5: events with X_Wt < 1.5 are vetoed.

    Examples
    --------
    >>> two_jets = np.array([[50.0, 40.0, 0.0]])
    >>> x_wt(two_jets, np.zeros((1, 3)), np.array([[0.0, 2.0, 0.0]]), np.zeros((1, 3)))
    array([inf])
    """
    jets = np.stack(to_cartesian(pt, eta, phi, mass))
    if jets.ndim != 3:
        raise DataError(f"x_wt needs jets of shape (n, k), not {np.shape(pt)}")
    present = np.asarray(pt, np.float64) > 0.0
    best = np.full(len(present), np.inf)
    for b in range(min(b_jets, present.shape[1])):
        for i, j in combinations([k for k in range(present.shape[1]) if k != b], 2):
            rows = present[:, b] & present[:, i] & present[:, j]
            w = jets[:, rows, i] + jets[:, rows, j]
            best[rows] = np.minimum(best[rows], _top_distance(w, w + jets[:, rows, b], resolution))
    return best


def _top_distance(w: Array, top: Array, resolution: float) -> Array:
    m_w, m_t = mass(*w), mass(*top)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.hypot((m_w - W_MASS) / (resolution * m_w), (m_t - TOP_MASS) / (resolution * m_t))
    return np.where((m_w > 0) & (m_t > 0), distance, np.inf)


# ---- pairings --------------------------------------------------------------------------------------------------------


def pairings(jets: int = 4) -> NDArray[np.intp]:
    """Return all ways to pair an even number of jets, shape ((jets−1)!!, jets/2, 2).

    Raises
    ------
    DataError
        If the number is odd or not positive.

    Examples
    --------
    >>> pairings(4).tolist()
    [[[0, 1], [2, 3]], [[0, 2], [1, 3]], [[0, 3], [1, 2]]]
    """
    if jets < 2 or jets % 2:
        raise DataError(f"pairings need an even number of jets, not {jets}")
    return np.array(_pairs(tuple(range(jets))), np.intp)


def _pairs(left: tuple[int, ...]) -> list[list[tuple[int, int]]]:
    if not left:
        return [[]]
    first, rest = left[0], left[1:]
    return [
        [(first, partner), *others] for k, partner in enumerate(rest) for others in _pairs(rest[:k] + rest[k + 1 :])
    ]


def closest_pairing(pt: ArrayLike, eta: ArrayLike, phi: ArrayLike, mass: ArrayLike) -> NDArray[np.intp]:
    """Return the pairing of four jets whose higher-pT pair has the smallest ΔR, that pair first.

    Parameters
    ----------
    pt, eta, phi, mass
        Four jets, shape (n, 4).

    Returns
    -------
    Indices of the jets, shape (n, 2, 2): ``[:, 0]`` the two jets of the higher-pT candidate.

    References
    ----------
    ATLAS, arXiv:2301.03212, section 5.

    Examples
    --------
    >>> phi = np.array([[0.0, 0.4, 3.0, -2.9]])
    >>> closest_pairing(np.array([[90.0, 60.0, 50.0, 40.0]]), np.zeros((1, 4)), phi, np.zeros((1, 4))).tolist()
    [[[0, 1], [2, 3]]]
    """
    options, columns, lead = _candidates(pt, eta, phi, mass)
    separation = delta_r(columns[1][..., 0], columns[2][..., 0], columns[1][..., 1], columns[2][..., 1])
    return _chosen(options, lead, _of(lead, separation).argmin(axis=1))


def mass_pairing(
    pt: ArrayLike,
    eta: ArrayLike,
    phi: ArrayLike,
    mass: ArrayLike,
    *,
    centre: tuple[float, float] = (125.0, 125.0),
    resolution: tuple[float, float] = (0.1, 0.1),
) -> NDArray[np.intp]:
    """Return the pairing of four jets whose candidates have the smallest :func:`x_hh`, the higher-pT pair first.

    It prefers masses close to `centre`, in the background as well: the density of the mass plane is raised there.

    Parameters
    ----------
    pt, eta, phi, mass
        Four jets, shape (n, 4).
    centre, resolution
        Of `x_hh`; the first belongs to the higher-pT candidate.

    Returns
    -------
    Indices of the jets, shape (n, 2, 2): ``[:, 0]`` the two jets of the higher-pT candidate.

    Examples
    --------
    >>> phi = np.array([[0.0, 0.4, 1.6, 2.0]])
    >>> mass_pairing(np.array([[90.0, 88.0, 86.0, 84.0]]), np.zeros((1, 4)), phi, np.zeros((1, 4))).tolist()
    [[[0, 2], [1, 3]]]
    """
    options, columns, lead = _candidates(pt, eta, phi, mass)
    masses = invariant_mass(*columns)
    distance = x_hh(_of(lead, masses), _of(1 - lead, masses), centre=centre, resolution=resolution)
    return _chosen(options, lead, distance.argmin(axis=1))


def _candidates(
    pt: ArrayLike, eta: ArrayLike, phi: ArrayLike, mass: ArrayLike
) -> tuple[NDArray[np.intp], list[Array], NDArray[np.intp]]:
    """Return the pairings of four jets, their columns of shape (n, 3, 2, 2), and which pair has the higher pT."""
    if np.ndim(pt) != 2 or np.shape(pt)[1] != 4:
        raise DataError(f"a pairing needs four jets, shape (n, 4), not {np.shape(pt)}")
    options = pairings(4)
    columns = [np.asarray(x, np.float64)[:, options] for x in (pt, eta, phi, mass)]
    return options, columns, total(*columns)[0].argmax(axis=2)


def _of(pair: NDArray[np.intp], values: Array) -> Array:
    return np.asarray(np.take_along_axis(values, pair[..., None], 2)[..., 0])


def _chosen(options: NDArray[np.intp], lead: NDArray[np.intp], choice: NDArray[np.intp]) -> NDArray[np.intp]:
    first = lead[np.arange(len(choice)), choice]
    return np.stack([options[choice, first], options[choice, 1 - first]], axis=1)


def pair_columns(
    pt: ArrayLike, eta: ArrayLike, phi: ArrayLike, mass: ArrayLike, *, chosen: NDArray[np.intp] | None = None
) -> dict[str, Array]:
    """Return the columns of two Higgs-boson candidates, made of four jets.

    Parameters
    ----------
    pt, eta, phi, mass
        Four jets, shape (n, 4).
    chosen
        Their pairing, shape (n, 2, 2), as of :func:`mass_pairing`; without it that of :func:`closest_pairing`.

    Returns
    -------
    ``m_h1 pt_h1 eta_h1 phi_h1``, the same for h2 (lower pT), ``dphi_hh = |Δφ|``, ``deta_hh = |Δη|``, ``m_hh``,
    ``pt_hh`` and the opening angles ``dR_h1 dR_h2``; each of shape (n,).

    Examples
    --------
    >>> phi = np.array([[0.0, 0.4, 3.0, -2.9]])
    >>> columns = pair_columns(np.array([[90.0, 60.0, 50.0, 40.0]]), np.zeros((1, 4)), phi, np.zeros((1, 4)))
    >>> float(columns["dR_h1"][0].round(3)), float(columns["m_h1"][0].round(2))
    (0.4, 29.2)
    """
    if chosen is None:
        chosen = closest_pairing(pt, eta, phi, mass)
    rows = np.arange(len(chosen))[:, None, None]
    jets = [np.asarray(x, np.float64)[rows, chosen] for x in (pt, eta, phi, mass)]
    pt_h, eta_h, phi_h, m_h = total(*jets)
    opening = delta_r(jets[1][..., 0], jets[2][..., 0], jets[1][..., 1], jets[2][..., 1])
    pt_hh, _, _, m_hh = total(*(x.reshape(len(chosen), 4) for x in jets))
    columns: dict[str, Array] = {}
    for name, values in (("m", m_h), ("pt", pt_h), ("eta", eta_h), ("phi", phi_h), ("dR", opening)):
        columns |= {f"{name}_h{k + 1}": values[:, k] for k in (0, 1)}
    dphi, deta = np.abs(delta_phi(phi_h[:, 0], phi_h[:, 1])), np.abs(eta_h[:, 0] - eta_h[:, 1])
    return columns | {"dphi_hh": dphi, "deta_hh": deta, "m_hh": m_hh, "pt_hh": pt_hh}


# ---- thrust ----------------------------------------------------------------------------------------------------------


def thrust_angle(px: ArrayLike, py: ArrayLike) -> tuple[Array, Array]:
    """Return the angle of the transverse thrust axis, in [0, π), and the thrust, exactly.

    ``T = max_n Σ|p_T · n| / Σ|p_T|``. At the maximum n is parallel to ``Σ s_i p_i`` with ``s_i = sign(p_i · n)``, and
    two sign patterns differ only where the line perpendicular to n crosses a momentum: k momenta leave 2k candidates.

    Parameters
    ----------
    px, py
        Transverse momenta, shape (n, k); absent ones are zero.

    Returns
    -------
    Angle and thrust, shape (n,). Both are NaN where all momenta vanish.

    Examples
    --------
    >>> angle, thrust = thrust_angle([[30.0, -30.0, 0.0]], [[40.0, -40.0, 0.0]])
    >>> float(angle[0].round(4)), float(thrust[0])
    (0.9273, 1.0)
    """
    x, y = np.asarray(px, np.float64), np.asarray(py, np.float64)
    if x.ndim != 2 or x.shape != y.shape:
        raise DataError(f"thrust_angle needs momenta of shape (n, k), not {x.shape} and {y.shape}")
    cross = x[:, :, None] * y[:, None, :] - y[:, :, None] * x[:, None, :]
    dot = x[:, :, None] * x[:, None, :] + y[:, :, None] * y[:, None, :]
    # momenta on the line change sides together
    side = np.stack([np.where(cross == 0.0, sign * np.sign(dot), np.sign(cross)) for sign in (1.0, -1.0)], axis=1)
    sums = np.stack([(side * x[:, None, None, :]).sum(-1), (side * y[:, None, None, :]).sum(-1)])
    sums = sums.reshape(2, len(x), -1)
    length = np.hypot(*sums)
    best = length.argmax(axis=1)
    rows = np.arange(len(x))
    with np.errstate(invalid="ignore", divide="ignore"):
        thrust = length[rows, best] / np.hypot(x, y).sum(axis=1)
    angle = np.arctan2(sums[1, rows, best], sums[0, rows, best]) % np.pi
    angle = np.where(angle >= np.pi, 0.0, angle)
    return np.where(np.isnan(thrust), np.nan, angle), thrust
