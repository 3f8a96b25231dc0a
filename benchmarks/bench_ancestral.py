"""Pseudo-candidates of the φγ case study: draws from its graph, and the mass spectrum of its signal region."""

from __future__ import annotations

from typing import Any

import hist
import numpy as np

from backdrop import Channel, Setup, fitted
from backdrop.methods import AncestralModel
from backdrop.synthetic import PhiGamma

from .harness import Disagreement, Row
from .phi_gamma import kernel

DRAWS = 1 << 20
SEED = 7


def rows() -> list[Row]:
    """Give a row for the draws, and one for all that follows from them."""
    toy = PhiGamma()
    model = fitted(Setup(kernel(DRAWS, paper=True), toy.draw(seed=SEED)), seed=SEED)
    plain = Plain(model)
    channel = Channel("SR", toy.selection.sr, (hist.axis.Regular(35, 50, 400, name="m"),))

    def spectrum() -> Any:
        return sum(channel.fill(rows)[0] for rows in model.chunks(channel.region))

    work = f"paper's graph, {DRAWS / 1e6:.3g}e6 pseudo-candidates"
    return [
        Row(
            f"draws, {work}",
            "NumPy, inverse transform",
            3.0,
            "s/1e6",
            lambda: model.kernel.draw(DRAWS, seed=SEED).columns,
            plain.draw,
            _same_means,
            ("numba",),
            DRAWS / 1e6,
            DRAWS / 1e6,
        ),
        Row(
            f"draws, four-vectors, cuts, histogram, {work}",
            "NumPy, inverse transform",
            2.0,
            "s/1e6",
            spectrum,
            lambda: plain.spectrum(channel),
            _same_bins,
            ("numba",),
            DRAWS / 1e6,
            DRAWS / 1e6,
        ),
    ]


class Plain:
    """The same graph in vectorised NumPy: cumulative sums of each slice, searched for a uniform number."""

    def __init__(self, model: AncestralModel) -> None:
        self.model = model
        self.rng = np.random.default_rng(SEED)
        self.steps = [self._step(one.values) for one in model.kernel.tables]

    def _step(self, values: Any) -> Any:
        share = np.cumsum(values, axis=1) / values.sum(axis=1, keepdims=True)
        share[:, -1] = 1.0
        return (share + np.arange(len(share))[:, None]).ravel()

    def draw(self) -> dict[str, Any]:
        """Give the drawn variables."""
        columns: dict[str, Any] = {}
        for template, cumulative in zip(self.model.templates, self.steps, strict=True):
            rows = np.zeros(DRAWS, np.int64)
            for axis in template.given:
                rows = rows * len(axis) + np.searchsorted(axis.edges, columns[axis.name], side="right") - 1
            shape = [len(axis) for axis in template.draws]
            bins = np.searchsorted(cumulative, rows + self.rng.random(DRAWS), side="right") - rows * int(np.prod(shape))
            for axis, own in zip(template.draws, np.unravel_index(bins, shape), strict=True):
                edges = np.asarray(axis.edges)
                columns[axis.name] = edges[own] + self.rng.random(DRAWS) * (edges[own + 1] - edges[own])
        return columns

    def spectrum(self, channel: Channel) -> Any:
        """Give the mass spectrum of a channel."""
        one = self.draw()
        eta = one["eta_gamma"] + one["deta"]
        energy = np.hypot(one["pt_phi"] * np.cosh(eta), one["m_phi"])
        along = one["pt_phi"] * (np.cos(one["dphi"]) + np.sinh(eta) * np.sinh(one["eta_gamma"]))
        one["m"] = np.sqrt(one["m_phi"] ** 2 + 2 * one["pt_gamma"] * (energy * np.cosh(one["eta_gamma"]) - along))
        inside = channel.region.mask(one)
        weight = np.full(int(inside.sum()), self.model.number / DRAWS)
        return np.histogram(one["m"][inside], np.asarray(channel.axes[0].edges), weights=weight)[0]


def _same_means(ours: Any, theirs: Any) -> dict[str, float]:
    """Compare the mean of each variable in units of its error."""
    pulls = []
    for name, values in theirs.items():
        error = np.hypot(values.std(), ours[name].std()) / np.sqrt(DRAWS)
        pulls.append(abs(ours[name].mean() - values.mean()) / error)
    if max(pulls) > 5.0:
        raise Disagreement(f"a mean differs by {max(pulls):.2g} standard errors")
    return {"largest difference of means in standard errors": float(max(pulls))}


def _same_bins(ours: Any, theirs: Any) -> dict[str, float]:
    """Compare the bins in units of the errors of two independent pseudo-samples."""
    scale = 23_000 / DRAWS
    filled = theirs > 0
    error = np.sqrt((ours[filled] + theirs[filled]) * scale)
    worst = float(np.abs((ours[filled] - theirs[filled]) / error).max())
    if worst > 5.0:
        raise Disagreement(f"a bin differs by {worst:.2g} standard errors")
    return {"largest difference of bins in standard errors": worst}
