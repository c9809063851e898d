"""Steps of other sizes: their configs, and the bytes of units and heads, mostly predicted."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from mmengine.config import Config

from ..config.edit import override_step
from ..config.fit_cap import measure_config
from ..config.step import step_shape
from ..local.settings import read_local_settings
from ..planning.costs import StepBytes
from ..planning.growth import grown

Crop = tuple[int, int]
CROP_STEP = 32
"""Crops that are tried are a multiple of this, in pixels, high and wide."""
MOST_IMAGES = 128
"""The largest batch that is tried: a dry step whose losses go by images takes seconds for it."""
MOST_PIXELS_HIGH = 4096
"""The highest crop that is tried."""


class Sizes:
    """The batches, or the crops, that a config could have, numbered.

    Args:
        cfg: The config.
        change: Returns what :func:`override_step` changes for the n-th.
        size_of: Images or pixels of the n-th.
        start: The n of the config, or one near to it.
        most: The largest n that is tried, if that is above ``start``.
        has_own: Whether ``start`` is the config's own.
        may_bend: Whether bytes may be quadratic in the size.
    """

    def __init__(
        self,
        cfg: Config,
        change: Callable[[int], dict[str, Any]],
        size_of: Callable[[int], int],
        start: int,
        most: int,
        has_own: bool = True,
        may_bend: bool = False,
    ) -> None:
        self._cfg, self._change = cfg, change
        self.size_of, self.start, self.most = size_of, start, max(start, most)
        self.has_own, self.may_bend = has_own, may_bend

    def config(self, count: int) -> Config:
        """Return the config of the n-th size."""
        trial = deepcopy(self._cfg)
        override_step(trial, **self._change(count))
        return trial

    def crop(self, count: int) -> Crop:
        """Return the crop of the n-th size."""
        return step_shape(self.config(count)).crop


def batches(cfg: Config) -> Sizes:
    """Return the batches at the config's crop."""
    start = step_shape(cfg).batch_size
    return Sizes(cfg, lambda count: dict(batch_size=count), lambda count: count, start, MOST_IMAGES)


def crops(cfg: Config) -> Sizes:
    """Return the crops at the config's batch, about of the shape of its own."""
    height, width = step_shape(cfg).crop
    start = max(1, height // CROP_STEP)

    def crop_of(count: int) -> Crop:
        high = count * CROP_STEP
        return high, max(CROP_STEP, round(high * width / height / CROP_STEP) * CROP_STEP)

    def pixels(count: int) -> int:
        high, wide = crop_of(count)
        return high * wide

    own = (height, width) == crop_of(start)
    change, most = lambda count: dict(crop=crop_of(count)), MOST_PIXELS_HIGH // CROP_STEP
    return Sizes(cfg, change, pixels, start, most, own, may_bend=True)


class Measured:
    """The bytes of units and heads of steps of some sizes, measured or predicted from those.

    Args:
        sizes: Of a config in local form.
        own: The bytes of the config's own step.
    """

    def __init__(self, sizes: Sizes, own: StepBytes) -> None:
        self._sizes = sizes
        self._known: dict[int, StepBytes] = {}
        if sizes.has_own:
            self._known[sizes.size_of(sizes.start)] = own

    def predict(self, count: int) -> StepBytes:
        """Return the bytes of the n-th size, from at least two that are measured.

        Raises:
            FailedStepError: The model cannot take a step of another size.
        """
        for other in (self._sizes.start, 2 * self._sizes.start):
            if len(self._known) < 2:
                self.measure(other)
        found = grown(self._known, self._sizes.size_of(count))
        return self.measure(count) if found is None else found

    def take_third(self, count: int) -> bool:
        """Measure the n-th size where bytes may be quadratic and only two are known.

        Returns:
            Whether predictions may be others now.
        """
        is_new = self._sizes.size_of(count) not in self._known
        takes = self._sizes.may_bend and len(self._known) == 2 and is_new
        if takes:
            self.measure(count)
        return takes

    def measure(self, count: int) -> StepBytes:
        """Return the bytes of the n-th size, measured once."""
        size = self._sizes.size_of(count)
        if size not in self._known:
            trial = self._sizes.config(count)
            self._known[size] = measure_config(trial, read_local_settings(trial.model.local))
        return self._known[size]
