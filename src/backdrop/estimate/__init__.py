"""Estimate: setups and the binned background estimates that follow from them."""

from ..channel import Channel
from .result import Estimate, Yield
from .setup import Setup, estimate, fitted, observe, template

__all__ = ["Channel", "Estimate", "Setup", "Yield", "estimate", "fitted", "observe", "template"]
