"""A row of `fit`: a way to train under a cap, and what it needs."""

from __future__ import annotations

from dataclasses import dataclass

from mmengine.config import Config

from ..measure.peaks import DryStep
from .recommending import Candidate
from .step_sizes import Crop
from .way import Way


@dataclass(frozen=True)
class Row:
    """What a way to train needs, and what it could train under the cap.

    Attributes:
        way: Its name.
        cfg: Resolved, as it was stepped.
        step: Its dry step; of local modules that nothing fits, the smallest found.
        fits: Whether that is within the cap.
        batch: The largest batch at the config's crop; 0 if not even one image fits.
        crop: The largest crop at the config's batch, of the same shape; None if none fits.
        fixed_crop: Whether the network takes no other crop than the config's.
    """

    way: Way
    cfg: Config
    step: DryStep
    fits: bool
    batch: int
    crop: Crop | None
    fixed_crop: bool

    @property
    def num_modules(self) -> int:
        """Return K."""
        return len(self.cfg.model.local.boundaries) + 1

    @property
    def candidate(self) -> Candidate:
        """Return what decides whether the way is recommended."""
        return Candidate(self.step.peak.total, self.step.flops, self.num_modules)


@dataclass(frozen=True)
class Cap:
    """Bytes that a card may hold, and the part of them that is not for tensors."""

    total: int
    margin: int

    @property
    def tensors(self) -> int:
        """Return the bytes for tensors."""
        return self.total - self.margin
