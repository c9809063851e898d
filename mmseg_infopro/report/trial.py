"""One way to train, as a benchmark tries it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mmengine.config import Config

from .way import Way


@dataclass(frozen=True)
class Trial:
    """One way to train.

    Attributes:
        way: Its name, without the precision.
        precision: Of the forward pass, a name of torch: that of the table it is in.
        cfg: Resolved, unless there is neither a dry nor a real step.
        exact: How exactly weights are those of the plain step, where that is asked.
        summary: What it does, where the name does not say it.
        no_dry_step: Why there is none.
        no_real_step: Why there is none here.
    """

    way: Way
    precision: str
    cfg: Config
    exact: str = ''
    summary: str = ''
    no_dry_step: str = ''
    no_real_step: str = ''

    def of(self, cfg: Config) -> Trial:
        """Return the same with another config."""
        return replace(self, cfg=cfg)

    def without(self, no_dry_step: str, no_real_step: str) -> Trial:
        """Return the same without steps, for these reasons."""
        return replace(self, no_dry_step=no_dry_step, no_real_step=no_real_step)
