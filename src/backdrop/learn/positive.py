from dataclasses import dataclass


@dataclass(frozen=True)
class Positive:
    x: int = 0
