"""The state of a training on disk: arrays as safetensors, and JSON that names them with their SHA-256."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import strict_json
from ..errors import ArtifactError
from ..tasks import fingerprint, sweep, write_atomic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .flow import Flow
    from .train import Training
    from .train_state import Data

__all__ = ["Checkpoint"]


@dataclass(frozen=True)
class Checkpoint:
    """Where the state of one training is kept; trainings of other data or settings have other names in the same folder.

    Attributes
    ----------
    folder
        The folder.
    name
        A fingerprint of all that the result depends on.
    """

    folder: Path
    name: str

    @classmethod
    def of(cls, folder: Path | str, flow: Flow, training: Training, data: Data, device: str) -> Checkpoint:
        """Return the checkpoint of a training."""
        import torch

        from ..version import __version__

        versions = f"backdrop {__version__}, torch {torch.__version__}, {device}"
        arrays = (data.table, data.features, data.weights, list(data.trained), list(data.held_out), list(data.seeds))
        return cls(Path(folder), fingerprint((flow, training, arrays, versions))[:24])

    @property
    def _pointer(self) -> Path:
        return self.folder / f"{self.name}.json"

    def read(self) -> dict[str, NDArray[np.generic]] | None:
        """Return the arrays that were written last, or None if there are none.

        Raises
        ------
        ArtifactError
            If they are damaged.
        """
        from safetensors.numpy import load

        if not self._pointer.exists():
            return None
        try:
            pointer: dict[str, Any] = strict_json.loads(self._pointer.read_bytes())
            data = (self.folder / Path(str(pointer["arrays"])).name).read_bytes()
            if hashlib.sha256(data).hexdigest() != pointer["sha256"]:
                raise ValueError("the SHA-256 of its arrays is another one")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{self._pointer} is damaged ({error}); delete it to train from the start") from error
        return load(data)

    def write(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Replace what was written last: the new arrays first, then the file that names them."""
        from safetensors.numpy import save

        data = save(arrays)
        digest = hashlib.sha256(data).hexdigest()
        name = f"{self.name}-{digest[:16]}.safetensors"
        write_atomic(self.folder / name, data)
        write_atomic(self._pointer, json.dumps({"arrays": name, "sha256": digest}).encode() + b"\n")
        sweep(self.folder)
        for old in self.folder.glob(f"{self.name}-*.safetensors"):
            if old.name != name:
                old.unlink(missing_ok=True)
