"""The kernel of the φγ case study: its graph of templates, its composite variables and its systematics."""

from __future__ import annotations

import hist
import numpy as np

from backdrop.learn.distortions import Distortion
from backdrop.methods import AncestralSampling
from backdrop.methods.ancestral import FinalTilt, Shift, Template, Tilt
from backdrop.synthetic import PhiGammaSelection

SLICES = (35, 40, 45, 50, 55, 60, 70, 90, 130, 420)
NARROW = (35, 37.5, 40, 42.5, 45, 47.5, 50, 55, 60, 65, 70, 80, 90, 110, 130, 200, 420)
PT = (*np.arange(35, 80, 2.5), *np.arange(80, 150, 5), *np.arange(150, 240, 10), 240, 260, 290, 330, 420)
ETA = (-2.37, *np.linspace(-2.2, -1.52, 5), *np.linspace(-1.37, 1.37, 19), *np.linspace(1.52, 2.2, 5), 2.37)
VELOCITY = (*np.arange(0, 0.2, 0.02), 0.2, 0.23, 0.26, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 1)
FINE_ETA = (*np.linspace(-2.37, -1.52, 18), *np.linspace(-1.37, 1.37, 56), *np.linspace(1.52, 2.37, 18))

COMPOSITE = {
    "pt": "sqrt(pt_phi**2 + pt_gamma**2 + 2 * pt_phi * pt_gamma * cos(dphi))",
    "velocity": "pt / hypot(pt, sqrt(2 * pt_phi * pt_gamma * (cosh(deta) - cos(dphi))))",
    "ahead": "log((pt_phi * exp(deta) + pt_gamma) / (pt_phi * exp(-deta) + pt_gamma)) / 2",
    "eta_phi": "eta_gamma + deta",
    "phi_phi": "phi_gamma + dphi",
    "e_phi": "hypot(pt_phi * cosh(eta_phi), m_phi)",
    "along": "pt_phi * (cos(dphi) + sinh(eta_phi) * sinh(eta_gamma))",
    "m": "sqrt(m_phi**2 + 2 * pt_gamma * (e_phi * cosh(eta_gamma) - along))",
    "pz_over_pt": "(pt_phi * sinh(eta_phi) + pt_gamma * sinh(eta_gamma)) / pt",
    "eta": "log(pz_over_pt + hypot(pz_over_pt, 1))",
}
"""The system's pT, transverse velocity and rapidity above the photon's; the meson; mass and η of the system.

The photon has no mass; nor has the meson in what a template is given.
"""


def graph(*, paper: bool = False) -> tuple[Template, ...]:
    """The templates of the case study, or those of the paper's table 2.

    To the paper's arrows are added: both transverse momenta to Δη, without which the mass spectrum is off by 2 to 3 %;
    that of the meson to its isolation; Δη to the direction of the photon, where the acceptance of the kaons ends
    sharply, and two derived variables, the velocity of the system and its rapidity above the photon's, from which its η
    follows.
    """
    steps, widths, eta_edges = (24, 0.05, ETA) if paper else (48, 0.025, FINE_ETA)
    pt_phi = hist.axis.Variable(PT, name="pt_phi", label=r"$p_{T}^{\phi}$ [GeV]")
    pt_gamma = hist.axis.Variable(PT, name="pt_gamma", label=r"$p_{T}^{\gamma}$ [GeV]")
    dphi = hist.axis.Regular(steps, np.pi / 2, np.pi, name="dphi", label=r"$\Delta\Phi$")
    deta = hist.axis.Regular(2 * steps, -4.8, 4.8, name="deta", label=r"$\Delta\eta$")
    isolation = hist.axis.Variable(
        [*np.arange(0, 2, widths), *np.arange(2, 4.1, 0.5), 8], name="iso_phi", label=r"$I_{\phi}$"
    )
    eta = hist.axis.Variable(eta_edges, name="eta_gamma", label=r"$\eta_{\gamma}$")
    phi = hist.axis.Regular(32, -np.pi, np.pi, name="phi_gamma", label=r"$\Phi_{\gamma}$")
    mass = hist.axis.Regular(16, 1.012, 1.028, name="m_phi", label=r"$m_{\phi}$ [GeV]")
    meson, photon = (hist.axis.Variable(SLICES, name=name) for name in ("pt_phi", "pt_gamma"))
    momenta = photon, meson
    narrow = tuple(hist.axis.Variable(NARROW, name=one.name) for one in momenta)
    system = hist.axis.Variable(VELOCITY, name="velocity"), hist.axis.Regular(48, -2.4, 2.4, name="ahead")
    back = hist.axis.Regular(12 if paper else 8, np.pi / 2, np.pi, name="dphi")
    return (
        Template("A", (pt_phi, pt_gamma)),
        Template("B", (dphi,), given=momenta if paper else narrow),
        Template("C", (deta,), given=(back,) if paper else (*momenta, back)),
        Template("D", (isolation,), given=(photon,) if paper else (meson, photon)),
        Template("E", (eta,), given=() if paper else (deta, *system)),
        Template("F", (phi,)),
        Template("G", (mass,)),
    )


def kernel(
    draws: int = 1_000_000, *, with_replacement: bool = False, systematics: bool = False, paper: bool = False
) -> AncestralSampling:
    """Return the method; the systematics are the paper's three pairs."""
    moves: dict[str, Distortion] = {"pt_shift": Shift("pt_gamma", 1.0), "dphi_tilt": Tilt("dphi", 0.3)}
    moves["m_tilt"] = FinalTilt("m", 0.004, 50.0, 400.0)
    return AncestralSampling(
        PhiGammaSelection().gr,
        graph(paper=paper),
        COMPOSITE,
        draws=draws,
        with_replacement=with_replacement,
        systematics=moves if systematics else {},
    )
