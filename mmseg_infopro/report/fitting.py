"""What fits a memory cap, for each way to train: partitions, largest batch, largest crop."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from mmengine.config import Config

from ..config.edit import enforce_cap
from ..config.explain import FailedStepError
from ..config.fit_cap import (
    NothingFitsError,
    confirmed,
    fewest_modules,
    fit_cap,
    measure_config,
    nearest_fit,
    plan_fits,
    set_fit,
)
from ..config.localize import localize
from ..config.phases import fill_max_iters
from ..config.step import dry_config_step, step_shape
from ..config.trials import USUAL_MISS, Fit
from ..local.settings import check_num_modules, read_local_settings
from ..measure.peaks import DryStep
from .fit_row import Cap, Row
from .largest import largest, largest_within
from .step_sizes import Measured, Sizes, batches, crops
from .way import Way, way_of

COUNTS = (2, 4, 8)
"""Numbers of local modules that are tried."""
MISTAKEN = 1.03
"""What misses its aim by more than this factor was planned with bytes that are predicted badly."""


class Fitter:
    """Says what each way to train a network needs, and could train under a cap.

    Args:
        cfg: Any config of mmseg.
        recompute: ``local.recompute`` of local modules, and of one that has no name of its own.
        cap: To stay within.
    """

    def __init__(self, cfg: Config, recompute: str, cap: Cap) -> None:
        self.cap, self._asked = cap, cfg
        self.cfg = localize(cfg, memory_cap=cap.total)
        self.cfg.model.local.update(memory_margin=cap.margin, recompute=recompute)
        fill_max_iters(self.cfg)
        self.settings = read_local_settings(self.cfg.model.local)
        self.step = measure_config(self.cfg, self.settings)
        self._batches, self._crops = batches(self.cfg), crops(self.cfg)
        self._of_batches = Measured(self._batches, self.step)
        self._of_crops = Measured(self._crops, self.step)
        self._largest_before = {sizes: sizes.start for sizes in (self._batches, self._crops)}
        self._miss = USUAL_MISS

    def counts(self) -> list[int]:
        """Return the numbers of modules to try where nobody names any."""
        fewest = fewest_modules(self.settings)
        most = len(self.step.units)
        own = [1] if self.settings.recompute == 'auto' else []
        return [count for count in (*own, *COUNTS) if fewest <= count <= most]

    def check(self, num_modules: int) -> None:
        """Check a K, before anything that takes long.

        Raises:
            ValueError: The backbone cannot be cut into so many modules.
        """
        check_num_modules(num_modules, len(self.step.units), self.cfg.model.backbone.type)

    def end_to_end(self, way: Way, cfg: Config) -> Row:
        """Return the row of one of :func:`~.baselines.end_to_end_forms`."""
        step, cfg = dry_config_step(cfg), deepcopy(cfg)
        fixed = step.peak.total - step.peak.activations

        def search(sizes: Sizes) -> int:
            def measure(count: int) -> int | None:
                try:
                    return dry_config_step(sizes.config(count)).peak.total
                except ValueError as error:
                    if _is_too_small(error):
                        return None
                    raise

            own = step.peak.total if sizes.has_own else measure(sizes.start)
            known = {} if own is None else {sizes.start: own}
            cap = self.cap.tensors
            return largest_within(cap, measure, sizes.size_of, known, fixed, sizes.most)

        return self._row(way, cfg, step, search, batches(cfg), crops(cfg))

    def local(self, num_modules: int | None) -> Row:
        """Return the row of K modules, or of the fewest that fit."""
        found, _ = nearest_fit(self.cfg, self.settings, num_modules, self.step)
        return self._row_of(found)

    def fewest_of(self, counts: range) -> Row | None:
        """Return the row of the fewest of some numbers of modules that fit; None if none does."""
        try:
            return self._row_of(fit_cap(self.cfg, self.settings, counts, _tell_no_one, self.step))
        except NothingFitsError:
            return None

    def _row_of(self, found: Fit) -> Row:
        count = found.num_modules
        recompute = found.recompute if isinstance(found.recompute, str) else 'auto'
        measured = {self._batches: self._of_batches, self._crops: self._of_crops}

        def search(sizes: Sizes) -> int:
            return self._largest(sizes, measured[sizes], count)

        way = way_of(self._asked, count, '' if recompute == 'none' else recompute)
        cfg = set_fit(self.cfg, found)
        return self._row(way, cfg, found.step, search, self._batches, self._crops)

    def _row(
        self,
        way: Way,
        cfg: Config,
        step: DryStep,
        search: Callable[[Sizes], int],
        batches: Sizes,
        crops: Sizes,
    ) -> Row:
        fits = step.peak.total <= self.cap.tensors
        if fits:
            enforce_cap(cfg, self.settings, step.peak.total)
        batch = max(search(batches), batches.start if fits else 0)
        try:
            count = search(crops)
        except FailedStepError:  # the config's own crop was stepped on before
            return Row(way, cfg, step, fits, batch, step_shape(cfg).crop if fits else None, True)
        if fits and crops.has_own:  # which plans may not have expected
            count = max(count, crops.start)
        return Row(way, cfg, step, fits, batch, crops.crop(count) if count else None, False)

    def _largest(self, sizes: Sizes, measured: Measured, num_modules: int) -> int:
        """Return the largest size that a plan fits, which a dry step then confirms."""
        cap = self.cap.tensors

        def plans(count: int) -> bool:
            return plan_fits(self.cfg, measured.predict(count), num_modules, self.settings, cap)

        found = largest(plans, self._largest_before[sizes], most=sizes.most)
        if found and measured.take_third(found):
            found = largest(plans, found, most=sizes.most)
        while found and not self._confirms(sizes.config(found), measured, found, num_modules):
            found -= 1
        self._largest_before[sizes] = max(1, found)  # that of another K is about the same
        return found

    def _confirms(self, trial: Config, measured: Measured, count: int, num_modules: int) -> bool:
        cap = self.cap.tensors
        for step_of in (measured.predict, measured.measure):
            try:
                step = step_of(count)
                fits, miss = confirmed(trial, self.settings, num_modules, step, cap, self._miss)
            except ValueError as error:
                if _is_too_small(error):
                    return False
                raise
            if fits or miss <= MISTAKEN:
                self._miss = min(miss, MISTAKEN)
                return fits
        return False


def _tell_no_one(text: str) -> None:
    """Show nothing of a dry step: rows do."""


def _is_too_small(error: ValueError) -> bool:
    """Whether a step is of one image or of few pixels: norms of pooled maps have no variance."""
    return 'more than 1 value per channel' in str(error)
