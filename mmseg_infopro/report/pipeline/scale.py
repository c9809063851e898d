"""Throughput and memory per device on several devices, simulated, for each way to use them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from operator import attrgetter

from mmengine.config import Config

from ...config.caps import plain_end_to_end
from ...config.fit_cap import measure_config
from ...config.localize import localize
from ...local.processes import BUCKET_CAP_MB
from ...local.settings import check_num_modules, read_local_settings
from ...planning.borders import Borders
from ...planning.boundaries import module_peaks
from ...planning.costs import StepBytes
from ...planning.device import Device
from ...planning.objective import ShortestStage
from ...planning.simulation.data_parallel import data_parallel
from ...planning.simulation.end_to_end import SCHEMES, end_to_end_pipeline
from ...planning.simulation.links import Link
from ...planning.simulation.local_pipeline import local_pipeline
from ...planning.simulation.stages import Outcome, Stage
from ...planning.stage_costs import StageCosts, end_to_end
from ..step_sizes import Measured, batches

ONE_EACH = 'local, a module a device'
FEWER = (2, 4)
"""Numbers of local modules that are simulated with replicas, too."""


@dataclass(frozen=True)
class ScaleRow:
    """One way to use some devices.

    Attributes:
        num_devices: Of them.
        link: Between neighbours.
        series: What rows of several numbers of devices have in common.
        outcome: What is simulated.
        images: Of a step of all devices.
        speedup: Over end-to-end training on one device.
        boundaries: Of the partition; none of data parallelism.
        shares: Of the stages' time, each device's.
    """

    num_devices: int
    link: Link
    series: str
    outcome: Outcome
    images: int
    speedup: float
    boundaries: tuple[str, ...]
    shares: tuple[float, ...]


class Scale:
    """Predicts the training of a config on several devices, all with equally many images a step.

    Args:
        cfg: Any config of mmseg; local modules are its own, or else those of a default.
        device: Of all.
        in_flight: As for :func:`local_pipeline`.
        micro_images: Images of a batch of local pipelines, and of a micro-batch of the others.
    """

    def __init__(
        self, cfg: Config, device: Device, in_flight: int = 2, micro_images: int = 1
    ) -> None:
        self.device, self.in_flight, self.micro_images = device, in_flight, micro_images
        cut = localize(cfg, 2)
        if cut.model.local.get('recompute') == 'auto':
            cut.model.local.recompute = 'cheap'  # there is no cap to recompute for
        plain = plain_end_to_end(cfg)
        plain.model.local.heads = deepcopy(cut.model.local.heads)
        self._local, self._plain = _measured(cut), _measured(plain)
        self.backbone = cut.model.backbone.type
        self.batch_size = batches(cut).start

    def check(self, num_devices: int) -> None:
        """Check a number of devices.

        Raises:
            ValueError: The backbone cannot be cut into so many modules.
        """
        num_units = len(self._local.predict(self.batch_size).units)
        check_num_modules(num_devices, num_units, self.backbone)

    def rows(self, num_devices: int, link: Link) -> Iterator[ScaleRow]:
        """Yield local modules, data parallelism and pipelines of end-to-end training."""
        images = self.batch_size * num_devices
        alone = self._data_parallel(1, link).images_per_second

        def row(
            series: str, outcome: Outcome, boundaries: Sequence[str], stages: Sequence[Stage]
        ) -> ScaleRow:
            speedup = outcome.images_per_second / alone
            cut = tuple(boundaries), stage_shares(stages)
            return ScaleRow(num_devices, link, series, outcome, images, speedup, *cut)

        for count in self.module_counts(num_devices):
            yield row(*self._local_pipeline(count, num_devices // count, link))
        yield row('data parallel', self._data_parallel(num_devices, link), (), ())
        micro = end_to_end(self._plain.predict(self.micro_images))
        boundaries, stages = self.partition(micro, num_devices, keeps_many=True)
        # All images of a step wait on the first device.
        more = (images // self.micro_images - 1) * micro.image
        stages[0] = replace(stages[0], fixed_bytes=stages[0].fixed_bytes + more)
        for scheme in SCHEMES:
            num_micro = images // self.micro_images
            outcome = end_to_end_pipeline(scheme, stages, self.micro_images, num_micro, link)
            yield row(scheme, outcome, boundaries, stages)

    @staticmethod
    def module_counts(num_devices: int) -> list[int]:
        """Return the numbers of local modules: one a device, or fewer, and replicas of them."""
        fewer = [count for count in FEWER if count < num_devices and num_devices % count == 0]
        return [num_devices, *fewer]

    def _local_pipeline(
        self, num_modules: int, num_replicas: int, link: Link
    ) -> tuple[str, Outcome, list[str], list[Stage]]:
        step = self._local.predict(self.micro_images)
        boundaries, stages = self.partition(step, num_modules)
        # As many batches add their gradients up as make the images of a step.
        added = [replace(s, fixed_bytes=s.fixed_bytes + s.gradient_bytes) for s in stages]
        interval = self.batch_size * num_modules // self.micro_images
        outcome = local_pipeline(
            added, self.micro_images, link, self.in_flight, num_replicas, interval
        )
        fewer = f'local, {num_modules} modules x replicas'
        on_average = [replace(stage, update=stage.update / interval) for stage in stages]
        return fewer if num_replicas > 1 else ONE_EACH, outcome, boundaries, on_average

    def partition(
        self, step: StepBytes, num_devices: int, keeps_many: bool = False
    ) -> tuple[list[str], list[Stage]]:
        """Return the boundaries that balance the stages' times, and the stages.

        Args:
            step: For one batch of those whose gradients add up.
            num_devices: As many stages.
            keeps_many: Whether activations of several batches wait, which should be few then.
        """
        tie = attrgetter('saved_bytes') if keeps_many else None
        objective = ShortestStage(self.device, Borders(self.in_flight), tie=tie)
        boundaries = objective.plan(step, num_devices)
        if boundaries is None:
            raise ValueError(
                f'{self.backbone} has no {num_devices} stages that all train: less of it must be '
                'frozen, or on fewer devices'
            )
        return boundaries, StageCosts(step, self.device, accumulates=True).partition(boundaries)

    def _data_parallel(self, num_devices: int, link: Link) -> Outcome:
        step = end_to_end(self._plain.predict(self.batch_size))
        parts = StageCosts(step, self.device).partition([unit.name for unit in step.units[:-1]])
        (peak,) = module_peaks(step, [])
        bucket = BUCKET_CAP_MB * 2**20 if num_devices > 1 else 0
        return data_parallel(parts, self.batch_size, num_devices, link, peak + bucket)


def stage_shares(stages: Sequence[Stage]) -> tuple[float, ...]:
    """Return each stage's share of the time of all."""
    total = sum(stage.seconds for stage in stages)
    return tuple(stage.seconds / total for stage in stages)


def _measured(cfg: Config) -> Measured:
    settings = read_local_settings(cfg.model.local)
    return Measured(batches(cfg), measure_config(cfg, settings))
