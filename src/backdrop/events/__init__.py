"""Events: the rows every method reads, with signed weights, sample names, keys and seals."""

from .columns import as_numbers, check_finite
from .keys import bootstrap_counts, event_keys
from .objects import Objects
from .seal import Seal, Sealed, seal
from .table import Events, Source

__all__ = [
    "Events",
    "Objects",
    "Seal",
    "Sealed",
    "Source",
    "as_numbers",
    "bootstrap_counts",
    "check_finite",
    "event_keys",
    "seal",
]
