"""Local modules that overlap with their neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from .schedule import SCHEDULES, Pass, Schedule


@SCHEDULES.register_module()
class Overlapping(Schedule):
    """Neighbours share a graph in pairs, so that each module also learns what the next one needs.

    The hierarchical modules of HPFF, https://arxiv.org/abs/2407.05638. With the border features
    ``h_k = f_k(h_{k-1})``, a module's losses ``l_k`` and ``sg`` for what is detached::

        L = l_0(h_0) + sum over k >= 1 of
            independent * l_k(f_k(sg h_{k-1})) + cascade * l_k(f_k(f_{k-1}(sg h_{k-2})))

    The authors' code leaves ``l_0`` out, without which the first module has no loss of its own
    pass here, and has heads of its own for the cascades.
    A module runs twice, in the pass that it begins and in the one that it ends, and is updated
    after the second one; its norms count once.

    Args:
        independent: Weight of a module's losses where nothing overlaps.
        cascade: Weight of a module's losses that reach into the module before.
        first: Weight of the first module's own losses.
        borders: The boundaries at which neighbours overlap; all if not given.

    Raises:
        ValueError: A weight is negative, or that of the cascades or the first losses is 0.
    """

    def __init__(
        self,
        independent: float = 0.001,
        cascade: float = 0.999,
        first: float = 1.0,
        borders: Sequence[int] | None = None,
    ) -> None:
        if independent < 0 or min(cascade, first) <= 0:
            raise ValueError(
                'independent must not be negative, and first and cascade must be positive, got '
                f'independent={independent}, first={first} and cascade={cascade}'
            )
        self.independent, self.cascade, self.first = independent, cascade, first
        self.borders = borders

    def __call__(self, iteration: int, num_modules: int) -> list[Pass]:
        """Return a pass for each pair that overlaps, and one for each module that begins none."""
        borders = range(num_modules - 1) if self.borders is None else self.borders
        passes = []
        for index in range(num_modules):
            weights: dict[int | tuple[int, str], float] = {index: self._own_weight(index, borders)}
            if index in borders:
                weights[index + 1] = self.cascade
            passes.append(Pass(index, index + 1 if index in borders else index, weights))
        return passes

    def _own_weight(self, index: int, borders: Sequence[int]) -> float:
        if index == 0:
            return self.first
        return self.independent if index - 1 in borders else 1.0

    def phases(self, num_modules: int) -> dict[str, int]:
        """Return the one phase.

        Raises:
            ValueError: There is no border, or not all that were named.
        """
        if num_modules < 2:
            raise ValueError(f'overlapping needs at least 2 local modules, got {num_modules}')
        unknown = [b for b in self.borders or () if b not in range(num_modules - 1)]
        if unknown or self.borders == []:
            raise ValueError(
                f'borders must be some of 0 to {num_modules - 2}, or names of boundaries, got '
                f'{self.borders}'
            )
        return {'overlapping': 0}
