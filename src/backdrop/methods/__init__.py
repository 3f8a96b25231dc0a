"""Background methods: one file a method, one row of METHODS each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..io import load as load_model
from .abcd import ABCD, ABCDModel
from .ancestral import AncestralModel, AncestralSampling
from .charge_flip import ChargeFlip, ChargeFlipModel
from .fake_factor import FakeFactor, FakeFactorModel
from .interpolate import Interpolate, InterpolateModel
from .likelihood_abcd import LikelihoodABCD, LikelihoodABCDModel
from .likelihood_matrix import LikelihoodMatrix, LikelihoodMatrixModel
from .matrix import MatrixMethod, MatrixModel

__all__ = [
    "ABCD",
    "METHODS",
    "ABCDModel",
    "AncestralModel",
    "AncestralSampling",
    "ChargeFlip",
    "ChargeFlipModel",
    "FakeFactor",
    "FakeFactorModel",
    "Interpolate",
    "InterpolateModel",
    "LikelihoodABCD",
    "LikelihoodABCDModel",
    "LikelihoodMatrix",
    "LikelihoodMatrixModel",
    "MatrixMethod",
    "MatrixModel",
    "Row",
    "load",
]


@dataclass(frozen=True)
class Row:
    """A method of the package: its settings, its model and a title for people."""

    name: str
    method: type
    model: type
    title: str


METHODS: Mapping[str, Row] = {
    row.name: row
    for row in (
        Row("abcd", ABCD, ABCDModel, "ABCD: transfer factor from two (nearly) independent variables"),
        Row("likelihood_abcd", LikelihoodABCD, LikelihoodABCDModel, "ABCD as a likelihood of the counts"),
        Row("ancestral_sampling", AncestralSampling, AncestralModel, "Ancestral sampling: a graph of histograms"),
        Row("charge_flip", ChargeFlip, ChargeFlipModel, "Charge flip: same-sign electrons from opposite-sign ones"),
        Row("fake_factor", FakeFactor, FakeFactorModel, "Fake factor: fake leptons from anti-tight ones"),
        Row(
            "interpolate",
            Interpolate,
            InterpolateModel,
            "Interpolation into a blinded region: Gaussian process times conditional flow",
        ),
        Row("matrix_method", MatrixMethod, MatrixModel, "Matrix method: fake leptons from tight and anti-tight ones"),
        Row(
            "likelihood_matrix",
            LikelihoodMatrix,
            LikelihoodMatrixModel,
            "Matrix method as a likelihood of the counts, no composition below zero",
        ),
    )
}


def load(path: Path | str, types: Mapping[str, type] | None = None) -> Any:
    """Load a saved model of this package; `types` adds models of others by type name.

    Raises
    ------
    ArtifactError
        If a file is damaged, of another schema, or of a type that is not known.
    """
    known = {row.model.__name__: row.model for row in METHODS.values()}
    return load_model(path, {**known, **(types or {})})
