"""The kernel of the φγ case study: its graph of templates, its composite variables and its systematics."""

from __future__ import annotations

import hist
import numpy as np

from backdrop.learn.distortions import Distortion
from backdrop.methods import AncestralSampling
from backdrop.methods.ancestral import FinalTilt, Shift, Template, Tilt
from backdrop.synthetic import PhiGammaSelection

SLICES = (35, 40, 45, 50, 55, 60, 70, 90, 130, 420)
PT = (*np.arange(35, 80, 2.5), *np.arange(80, 150, 5), *np.arange(150, 240, 10), 240, 260, 290, 330, 420)
ETA = (-2.37, *np.linspace(-2.2, -1.52, 5), *np.linspace(-1.37, 1.37, 19), *np.linspace(1.52, 2.2, 5), 2.37)

COMPOSITE = {
    "eta_phi": "eta_gamma + deta",
    "phi_phi": "phi_gamma + dphi",
    "e_phi": "hypot(pt_phi * cosh(eta_phi), m_phi)",
    "along": "pt_phi * (cos(dphi) + sinh(eta_phi) * sinh(eta_gamma))",
    "m": "sqrt(m_phi**2 + 2 * pt_gamma * (e_phi * cosh(eta_gamma) - along))",
    "pt": "sqrt(pt_phi**2 + pt_gamma**2 + 2 * pt_phi * pt_gamma * cos(dphi))",
}
"""Four-vector of the meson, mass and pT of the system; the photon has no mass."""


def graph(*, full: bool = False) -> tuple[Template, ...]:
    """The templates of the paper's table 2; with `full`, Δη also depends on both transverse momenta, and η_γ on Δη."""

    def slices(name: str) -> hist.axis.Variable:
        return hist.axis.Variable(SLICES, name=name)

    pt_phi = hist.axis.Variable(PT, name="pt_phi", label=r"$p_{T}^{\phi}$ [GeV]")
    pt_gamma = hist.axis.Variable(PT, name="pt_gamma", label=r"$p_{T}^{\gamma}$ [GeV]")
    dphi = hist.axis.Regular(24, np.pi / 2, np.pi, name="dphi", label=r"$\Delta\Phi$")
    deta = hist.axis.Regular(48, -4.8, 4.8, name="deta", label=r"$\Delta\eta$")
    isolation = hist.axis.Variable(
        [*np.arange(0, 2, 0.05), *np.arange(2, 4.1, 0.5), 8], name="iso_phi", label=r"$I_{\phi}$"
    )
    eta = hist.axis.Variable(ETA, name="eta_gamma", label=r"$\eta_{\gamma}$")
    phi = hist.axis.Regular(32, -np.pi, np.pi, name="phi_gamma", label=r"$\Phi_{\gamma}$")
    mass = hist.axis.Regular(16, 1.012, 1.028, name="m_phi", label=r"$m_{\phi}$ [GeV]")
    parents = (hist.axis.Regular(8 if full else 12, np.pi / 2, np.pi, name="dphi"),)
    if full:
        parents = (slices("pt_gamma"), slices("pt_phi"), *parents)
    before = (hist.axis.Regular(24, -4.8, 4.8, name="deta"),) if full else ()
    return (
        Template("A", (pt_phi, pt_gamma)),
        Template("B", (dphi,), given=(slices("pt_gamma"), slices("pt_phi"))),
        Template("C", (deta,), given=parents),
        Template("D", (isolation,), given=(slices("pt_gamma"),)),
        Template("E", (eta,), given=before),
        Template("F", (phi,)),
        Template("G", (mass,)),
    )


def kernel(
    draws: int = 1_000_000, *, with_replacement: bool = False, systematics: bool = False, full: bool = False
) -> AncestralSampling:
    """Return the method; the systematics are the paper's three pairs."""
    moves: dict[str, Distortion] = {"pt_shift": Shift("pt_gamma", 1.0), "dphi_tilt": Tilt("dphi", 0.3)}
    moves["m_tilt"] = FinalTilt("m", 0.004, 50.0, 400.0)
    return AncestralSampling(
        PhiGammaSelection().gr,
        graph(full=full),
        COMPOSITE,
        draws=draws,
        with_replacement=with_replacement,
        systematics=moves if systematics else {},
    )
