"""Estimate: setups and the binned background estimates that follow from them."""

from ..channel import Channel
from .pictures import pictures
from .result import Estimate, Yield
from .setup import Setup, estimate, fitted, maps, observe, predicted, template, terms
from .terms import Parameter, Term, Terms

__all__ = [
    "Channel",
    "Estimate",
    "Parameter",
    "Setup",
    "Term",
    "Terms",
    "Yield",
    "estimate",
    "fitted",
    "maps",
    "observe",
    "pictures",
    "predicted",
    "template",
    "terms",
]
