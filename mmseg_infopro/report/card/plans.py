"""What each way to train one network is planned as: made on any machine, kept for the card."""

from __future__ import annotations

import json
from ast import literal_eval
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config

import mmseg_infopro

from ...config.build import takes_argument
from ...config.fit_cap import nearest_fit, set_fit
from ...config.localize import localize
from ...config.resolve import resolve
from ...config.step import dry_config_step
from ...files.whole import write_whole
from ...local.settings import read_local_settings
from .. import baselines
from ..way import parse_way
from .networks import Network

E2E, WITH_CP, AUTO, LEAN = 'e2e', 'with_cp', 'k1_auto', 'infopro:2 lean'
FREE, FOUR, EIGHT = 'infopro:2 free', 'infopro:4 lean', 'infopro:8 lean'
WAYS = (E2E, WITH_CP, AUTO, FREE, LEAN, FOUR, EIGHT)
"""Ways to train by their names, with recipes; :data:`AUTO` recomputes until it needs no more than
:data:`LEAN`."""
PLANNING_SECONDS = {E2E: 20, WITH_CP: 20, AUTO: 150}
"""That a plan takes, about; others take 40."""


@dataclass(frozen=True)
class Plan:
    """One way to train one network.

    Attributes:
        cfg: Resolved.
        peak: Bytes that a dry step predicts.
        flops: Of that step.
    """

    cfg: Config
    peak: int
    flops: int


@dataclass(frozen=True)
class Plans:
    """Plans by network, precision and way, each in a file of its own.

    A plan holds for the versions of torch and of this package that it was made with.

    Args:
        folder: Of the files.
    """

    folder: Path

    def get(self, network: Network, precision: str, way: str) -> Plan:
        """Return a plan; it is made if there is none."""
        plan = self._read(self._file(network, precision, way))
        return plan or self._make(network, precision, way)

    def seconds_missing(self, network: Network, precision: str, ways: tuple[str, ...]) -> float:
        """Return how long it takes, about, to make those plans that are not there."""
        missing = [w for w in ways if not self._file(network, precision, w).is_file()]
        return sum(PLANNING_SECONDS.get(way, 40) for way in missing)

    def _file(self, network: Network, precision: str, way: str) -> Path:
        name = way.replace(' ', '_').replace(':', '-')
        return self.folder / network.name / f'{precision}_{name}.json'

    def _read(self, file: Path) -> Plan | None:
        if not file.is_file():
            return None
        content = json.loads(file.read_text())
        if content.pop('versions') != _versions():
            return None
        return Plan(**{**content, 'cfg': Config(literal_eval(content['cfg']))})

    def _make(self, network: Network, precision: str, way: str) -> Plan:
        cfg = network.config(precision)
        resolved = self._planned(network, precision) if way == AUTO else resolved_way(cfg, way)
        step = dry_config_step(resolved)
        plan = Plan(resolved, step.peak.total, step.flops)
        file = self._file(network, precision, way)
        file.parent.mkdir(parents=True, exist_ok=True)
        # As text: JSON has no tuples.
        content = dict(peak=plan.peak, flops=plan.flops, versions=_versions())
        text = json.dumps({**content, 'cfg': repr(resolved.to_dict())}, indent=1)
        write_whole(file, text)
        return plan

    def _planned(self, network: Network, precision: str) -> Config:
        cap = self.get(network, precision, LEAN).peak
        cfg = localize(network.config(precision), memory_cap=cap, recipe='least')
        cfg.model.local.memory_margin = 0
        fit, _ = nearest_fit(cfg, read_local_settings(cfg.model.local), 1)
        return resolve(set_fit(cfg, fit))


def ways_of(network: Network, ways: tuple[str, ...] = WAYS) -> tuple[str, ...]:
    """Return those of some ways that a network has."""
    checkpoints = takes_argument(network.config('float32').model.backbone, 'with_cp')
    return tuple(way for way in ways if way != WITH_CP or checkpoints)


def resolved_way(cfg: Config, way: str) -> Config:
    """Return a config that trains in one of :data:`WAYS`, but not in :data:`AUTO`."""
    word, _, recipe = way.partition(' ')
    found = parse_way(word)
    if found in (baselines.E2E, baselines.WITH_CP):
        return baselines.end_to_end_forms(cfg)[found]
    return resolve(localize(cfg, found.num_modules, method=found.method, recipe=recipe))


def _versions() -> str:
    return f'{torch.__version__.partition("+")[0]}, {mmseg_infopro.__version__}'
