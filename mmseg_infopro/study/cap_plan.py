"""What every way trains under every cap, found and timed once, and kept beside the records."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import torch
from mmengine.config import Config

from ..config.caps import card_bytes
from ..config.places import named
from ..config.step import config_peak, step_shape
from ..files.whole import write_whole
from ..measure.sizes import check_cap, format_bytes
from ..report.timing import time_trials
from ..report.trial import Trial
from ..report.way import Way, parse_way
from .bed import PLAN, Run
from .cap_schedule import SAME_IMAGES, SAME_TIME, iterations_for, rescheduled
from .cap_steps import fit_way
from .record import digest

ROUNDS, STEPS = 8, 3
"""Turns in which steps are timed, and steps a turn."""


@dataclass
class Planned:
    """A way under a cap, as the plan's file has it.

    Attributes:
        way: Its word.
        cap: As it was asked for.
        cap_bytes: What that is.
        fits: Whether any step of the way is within it.
        peak: Predicted bytes of the step, or of the smallest one that was tried.
        share: Of the peak of the bed's end-to-end step.
        batch: Images a step.
        crop: Height and width.
        boundaries: Of the local modules.
        time_ratio: Of its step to the bed's end-to-end one, timed by turns in one process.
        seconds: Of its step.
        load: Processes that wanted a core of the machine meanwhile, this one included.
    """

    way: str
    cap: str
    cap_bytes: int
    fits: bool
    peak: int
    share: float
    batch: int
    crop: list[int]
    boundaries: list[str]
    time_ratio: float | None = None
    seconds: float | None = None
    load: float | None = None

    def describe(self) -> str:
        """Return the step in a line."""
        size = f'batch {self.batch} of {self.crop[0]}x{self.crop[1]}'
        need = f'{format_bytes(self.peak)}, {self.share:.1%} of E2E'
        if not self.fits:
            return f'does not fit: {size} needs {need}'
        time = f', {self.time_ratio:.2f} of its step time' if self.time_ratio else ''
        cut = f', boundaries {" ".join(self.boundaries)}' if self.boundaries else ''
        return f'{size}: {need}{time}{cut}'


class CapPlan:
    """The steps of ways under caps, of one config.

    Args:
        cfg: The bed's, end to end, with all options.
        folder: Where the plan's file is.
        configs: Where the configs of runs are written.

    Raises:
        ValueError: The file is of another config.
    """

    def __init__(self, cfg: Config, folder: Path, configs: Path) -> None:
        self.cfg, self.configs = cfg, configs
        self.file = folder / PLAN
        self.entries = read_plan(folder, digest(cfg)) if self.file.is_file() else []
        self._cap_bytes = cache(lambda cap: card_bytes(cfg, cap, margin=0))
        self._own_peak = cache(lambda: config_peak(cfg).total)

    def make(self, ways: Sequence[Way], caps: Sequence[str], advance: Callable[[], None]) -> None:
        """Find what is missing of a grid, and time it.

        Raises:
            ValueError: A cap or a way does not fit.
        """
        for cap in caps:
            with named('--cap'):
                check_cap(cap)
        for way in ways:
            way.check(self.cfg)
        for cap in caps:
            for way in ways:
                if not self._is_known(way, cap):
                    self._add(self._find(way, cap))
                    self._write()
                advance()
        untimed = [entry for entry in self.entries if entry.fits and entry.time_ratio is None]
        if untimed:
            self._time(untimed)
            self._write()

    def runs(self, ways: Sequence[Way], caps: Sequence[str], seeds: Sequence[int]) -> list[Run]:
        """Return the runs of a grid: the same images under each cap, and the same time under one.

        That is the smallest one that any way meets. Each run has a config of its own; a way that no
        step fits has none.
        """
        budgets = [(cap, SAME_IMAGES) for cap in caps]
        met = [e for cap in caps for e in (self.entry(way, cap) for way in ways) if e.fits]
        if met:
            budgets.append((min(met, key=lambda entry: entry.cap_bytes).cap, SAME_TIME))
        found = []
        for seed in seeds:
            for cap, budget in budgets:
                for way in ways:
                    if self.entry(way, cap).fits:
                        config = str(self._run_config(way, cap, budget))
                        found.append(Run(way, seed, cap, budget, config))
        return found

    def entry(self, way: Way, cap: str) -> Planned:
        """Return a way under a cap, which was planned."""
        (found,) = [e for e in self.entries if (e.way, e.cap) == (way.word, cap)]
        return found

    def iterations(self, entry: Planned, budget: str) -> int:
        """Return how long a run of a planned step is."""
        return iterations_for(self.cfg, entry.batch, budget, entry.time_ratio or 1.0)

    def hours(self, runs: Sequence[Run]) -> float:
        """Return the hours of runs, at the speed that their steps were timed at."""
        shares = [(self.entry(run.way, run.cap or ''), run.budget) for run in runs]
        return (
            sum(self.iterations(step, kind) * (step.seconds or 0) for step, kind in shares) / 3600
        )

    def _is_known(self, way: Way, cap: str) -> bool:
        found = [e for e in self.entries if (e.way, e.cap) == (way.word, cap)]
        return any(not e.fits or self._step_config(way, cap).is_file() for e in found)

    def _add(self, found: Planned) -> None:
        """Put a step in its place. One that the file has, as of another clone, stays timed."""
        for index, same in enumerate(self.entries):
            if (same.way, same.cap) == (found.way, found.cap):
                timing = dict(time_ratio=same.time_ratio, seconds=same.seconds, load=same.load)
                timed = replace(found, **timing)  # type: ignore[arg-type]
                self.entries[index] = timed if timed == same else found
                return
        self.entries.append(found)

    def _find(self, way: Way, cap: str) -> Planned:
        cap_bytes = self._cap_bytes(cap)
        step = fit_way(self.cfg, way, cap_bytes)
        shape = step_shape(step.cfg)
        if step.fits:
            write_whole(self._step_config(way, cap), step.cfg.pretty_text)
        return Planned(
            way=way.word,
            cap=cap,
            cap_bytes=cap_bytes,
            fits=step.fits,
            peak=step.peak,
            share=step.peak / self._own_peak(),
            batch=shape.batch_size,
            crop=list(shape.crop),
            boundaries=list((step.cfg.model.get('local') or {}).get('boundaries') or ()),
        )

    def _time(self, entries: Sequence[Planned]) -> None:
        """Time steps by turns with the bed's own, so that what runs beside slows all of them."""
        trials = [Trial(Way('e2e'), 'float32', self.cfg)]
        for entry in entries:
            way = parse_way(entry.way)
            step = Config.fromfile(self._step_config(way, entry.cap))
            trials.append(Trial(way, 'float32', step))
        before, *others = time_trials(trials, ROUNDS, STEPS)
        load = os.getloadavg()[0] if not torch.cuda.is_available() else None
        for entry, times in zip(entries, others, strict=True):
            if not (before.timed and times.timed):
                reason = before.failure or times.failure
                raise ValueError(f'a step of {entry.way} under {entry.cap} failed: {reason}')
            entry.time_ratio = times.seconds() / before.seconds()
            entry.seconds, entry.load = times.seconds(), load

    def _step_config(self, way: Way, cap: str) -> Path:
        return self.configs / f'{Run(way, 0, cap, "step").stem}.py'

    def _run_config(self, way: Way, cap: str, budget: str) -> Path:
        entry = self.entry(way, cap)
        cfg = Config.fromfile(self._step_config(way, cap))
        rate_factor = entry.batch / self.cfg.train_dataloader.batch_size
        cfg = rescheduled(cfg, self.iterations(entry, budget), rate_factor)
        file = self.configs / f'{Run(way, 0, cap, budget).stem}.py'
        write_whole(file, cfg.pretty_text)
        return file

    def _write(self) -> None:
        steps = [asdict(entry) for entry in self.entries]
        text = json.dumps(dict(config=digest(self.cfg), steps=steps), indent=1)
        write_whole(self.file, text + '\n')


def read_plan(folder: Path, config: str | None = None) -> list[Planned]:
    """Read a plan's file.

    Args:
        folder: Where it is.
        config: The digest of the config that it must be of.

    Raises:
        ValueError: It is broken, or of another config.
    """
    file = folder / PLAN
    try:
        content = json.loads(file.read_text())
        entries = [Planned(**step) for step in content['steps']]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{file} is not the plan of a study: {error}') from error
    if config is not None and content['config'] != config:
        raise ValueError(
            f'{file} was made for another state of the config: move {folder} away, runs included'
        )
    return entries
