"""One local module after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from math import isclose

from .schedule import SCHEDULES, Pass, Schedule, global_pass


@SCHEDULES.register_module()
class Sequential(Schedule):
    """Train one module after the other; those before it are finished, norms included.

    Sequential greedy training, https://arxiv.org/abs/1812.11446. The modules before the one that
    trains run without a graph, the ones behind it not at all, so the tail's decode head is of use
    only once its own share has begun.

    Args:
        shares: For each module, its share of the run: numbers of iterations, or fractions that add
            up to 1; equal ones if not given. A frozen module gets 0.
        max_iters: Iterations of the run; from the config's ``train_cfg`` if not given.
        finetune: In the last share train the whole network end to end instead of the tail alone.
            With a reconstruction head only this is greedy layer-wise pretraining,
            https://papers.nips.cc/paper/3048: unsupervised up to there.

    Raises:
        ValueError: The shares do not add up.
    """

    def __init__(
        self,
        shares: Sequence[float] | None = None,
        max_iters: int | None = None,
        finetune: bool = False,
    ) -> None:
        if max_iters is None:
            raise ValueError(
                'max_iters must be the iterations of the run, which shares are of; '
                'mmseg_infopro.resolve takes it from train_cfg.max_iters'
            )
        if shares is not None and any(share < 0 for share in shares):
            raise ValueError(f'shares must not be negative, got {list(shares)}')
        self.shares, self.max_iters, self.finetune = shares, max_iters, finetune

    def starts(self, num_modules: int) -> list[int]:
        """Return the iteration at which each module begins to train.

        Raises:
            ValueError: The shares are not those of so many modules, or do not add up.
        """
        shares = self.shares or [1 / num_modules] * num_modules
        if len(shares) != num_modules:
            raise ValueError(
                f'shares must be one for each of {num_modules} local modules, got {list(shares)}'
            )
        is_counted = all(isinstance(share, int) for share in shares)
        total = self.max_iters if is_counted else 1
        if not isclose(sum(shares), total, abs_tol=1e-6):
            raise ValueError(
                f'shares must add up to max_iters={self.max_iters}, or be fractions that add up to '
                f'1.0, got {list(shares)}, which add up to {sum(shares):g}'
            )
        scale = 1 if is_counted else self.max_iters
        return [round(scale * end) for end in accumulate(shares[:-1], initial=0.0)]

    def __call__(self, iteration: int, num_modules: int) -> list[Pass]:
        """Return a pass without a graph up to the module whose share it is, and that module's."""
        active = bisect_right(self.starts(num_modules), iteration) - 1
        if self.finetune and active == num_modules - 1:
            return [global_pass(num_modules)]
        finished = [Pass(0, active - 1, trains=False)] if active else []
        return [*finished, Pass(active, active, {active: 1.0})]

    def phases(self, num_modules: int) -> dict[str, int]:
        """Return one phase for each module that gets any iterations."""
        starts = [*self.starts(num_modules), self.max_iters]
        last = 'fine-tuning' if self.finetune else f'module {num_modules - 1}'
        names = [*(f'module {index}' for index in range(num_modules - 1)), last]
        return {
            name: start
            for name, start, end in zip(names, starts, starts[1:], strict=False)
            if end > start
        }
