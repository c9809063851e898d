"""What one process of a pipeline costs: the part of a measured step that is its own. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from itertools import accumulate

from ..measure.work import Work
from .borders import Borders
from .boundaries import SegmentCosts
from .costs import NO_WORK, StepBytes
from .device import Device
from .simulation.stages import Stage


class StageCosts:
    """The costs of ``units[start:end]`` on a device of their own.

    Args:
        step: The measured step.
        device: That the stages run on.
        accumulates: Whether gradients of earlier batches are there all the time, and so in no peak.
        borders: Between the stages, if not those of the default settings.
    """

    def __init__(
        self,
        step: StepBytes,
        device: Device,
        accumulates: bool = False,
        borders: Borders | None = None,
    ) -> None:
        self.step, self.device, self.borders = step, device, borders or Borders()
        self.stage = cache(self._stage)
        alone = replace(step, fixed=0, updates_per_module=True)
        if accumulates:
            alone = replace(alone, units=tuple(replace(unit, gradients=0) for unit in step.units))
        self._peaks = SegmentCosts(alone)
        self._retained = list(accumulate((unit.retained for unit in step.units), initial=0))
        floats = (unit.retained_floats for unit in step.units)
        self._retained_floats = list(accumulate(floats, initial=0))

    def partition(self, boundaries: Sequence[str]) -> list[Stage]:
        """Return the stages between some boundaries."""
        names = [unit.name for unit in self.step.units]
        ends = [names.index(boundary) + 1 for boundary in boundaries] + [len(names)]
        return [self.stage(*span) for span in zip([0, *ends], ends, strict=False)]

    def peak(self, start: int, end: int) -> int:
        """Return the peak of the process that trains ``units[start:end]``."""
        return self.overhead(start, end) + self.stage(start, end).peak_bytes

    def overhead(self, start: int, end: int) -> int:
        """Return what that process holds all the time: what is its own, and borders."""
        stage = self.stage(start, end)
        received = self.travelling(start) if start else 0
        return stage.fixed_bytes + self.borders.alive(received, stage.border_bytes)

    def trains(self, start: int, end: int) -> bool:
        """Return whether anything of some units does: a stage of others would have no loss."""
        return end == len(self.step.units) or not all(
            unit.frozen for unit in self.step.units[start:end]
        )

    def _stage(self, start: int, end: int) -> Stage:
        step, units = self.step, self.step.units[start:end]
        is_tail, last = end == len(self.step.units), self.step.units[end - 1]
        trained = sum(unit.gradients for unit in units)
        frozen = sum(unit.parameters for unit in units) - trained
        heads = step.tail_parameters if is_tail else last.head_parameters
        head_gradients = step.tail_gradients if is_tail else last.head_parameters
        reads_image = start == 0 or (last.reads_image and not is_tail)
        received = self.border_bytes(start)
        forward = _total(unit.forward_work for unit in units)
        backward = _total(unit.backward_work + unit.auxiliary_work for unit in units)
        backward += step.tail_work if is_tail else last.heads_work
        updated = trained + head_gradients
        return Stage(
            forward=self.device.seconds(forward),
            backward=self.device.seconds(backward),
            update=self.device.seconds(_update_work(updated, step.copies)),
            border_bytes=0 if is_tail else self.travelling(end),
            gradient_bytes=updated,
            fixed_bytes=round(step.copies * (trained + heads))
            + frozen
            + step.labels
            + (step.image if reads_image else 0),
            saved_bytes=received
            + sum(unit.saved for unit in units)
            + (step.tail_saved if is_tail else 0),
            peak_bytes=self._peaks.peak(start, end),
        )

    def border_bytes(self, end: int) -> int:
        """Return what is left at the border behind some units, or the images before all of them.

        Features that a later stage reads ride along.
        """
        return self.step.units[end - 1].state + self._retained[end] if end else self.step.image

    def travelling(self, end: int) -> int:
        """Return what passes the border behind some units."""
        floats = self.step.units[end - 1].state_floats + self._retained_floats[end]
        return self.borders.travelling(self.border_bytes(end), floats)


def end_to_end(step: StepBytes) -> StepBytes:
    """Return a step without local heads."""
    none = dict(heads=0, heads_saved=0, heads_work=NO_WORK, head_parameters=0, context=0)
    none |= dict(reads_image=False)
    return replace(step, units=tuple(replace(unit, **none) for unit in step.units))  # type: ignore[arg-type]


def _total(works: Iterable[Work]) -> Work:
    return sum(works, NO_WORK)


def _update_work(num_bytes: int, copies: float) -> Work:
    """Return an optimizer's work: it reads gradients, and reads and writes what else is kept."""
    return Work(0, round((1 + 2 * copies) * num_bytes))
