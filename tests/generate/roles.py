"""The roles of a fragment, which stand in it as comments."""

from __future__ import annotations

from typing import Any

import yaml

from backdrop.generate import fragment


def roles(name: str) -> dict[str, Any]:
    text = fragment(name).split("# roles:\n")[1]
    return yaml.safe_load("".join(line.removeprefix("# ") for line in text.splitlines(keepends=True)))


def names(value: Any) -> list[str]:
    """Return the names of regions and columns in a role, however deep."""
    return [value] if isinstance(value, str) else [name for one in value for name in names(one)]
