"""Training that resumes bit for bit: the states of the random number generators."""

import random
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..local.streams import SEED
from ..upstream import differs_by_rank
from .stopping import stops_now


@HOOKS.register_module()
class RNGStateHook(Hook):
    """Saves every process's random number generator states and restores them at a resume.

    The checkpoint gets `rng_state`: the sampler's seed, which mmengine draws anew when the config
    gives none, and the states of Python, numpy, torch and the current CUDA device of each rank.
    Validation leaves the states as it found them, so it may run or not.

    Of a pipeline the states of the last process of each row are saved, which are those of one
    process that trains all modules.

    Local modules (K > 1) draw from streams of their own, which begin anew in every iteration: it
    tells them the run's seed.

    Exact for iteration-based training with `StreamSampler` and `SeededDataset`.
    """

    priority = 'LOW'  # after the hooks that may draw numbers, before CheckpointHook

    def __init__(self) -> None:
        self._gathered: list[dict[str, Any]] = []
        self._gathered_at = -1
        self._loaded: dict[str, Any] | None = None
        self._resumed: dict[str, Any] | None = None
        self._before_val: dict[str, Any] | None = None

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Gathers the states of all ranks, as only the main process gets to the saving."""
        if checkpoint_due(runner):
            self._gather(runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        """Gathers the states for checkpoints that are saved by epoch."""
        self._gather(runner.iter)

    def before_val(self, runner: Runner) -> None:
        """Gathers the states for the best checkpoint, and remembers this rank's."""
        if self._resumed is not None:  # a validation that is made up before the first step
            _set_torch_state(self._resumed)
        self._gather(runner.iter)
        self._before_val = get_rng_state()

    def after_val(self, runner: Runner) -> None:
        """Forgets the numbers that validation drew."""
        if self._before_val is not None:
            _set_host_state(self._before_val)
            _set_torch_state(self._before_val)
            self._before_val = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Adds `rng_state` to the checkpoint (main process only)."""
        iteration = checkpoint['meta']['iter']
        if self._gathered_at != iteration:
            if get_world_size() > 1:
                runner.logger.warning(
                    f'The checkpoint of iteration {iteration} holds no random number generator '
                    'states, because no CheckpointHook announced it to the other processes: '
                    'resuming from it will not be exact.'
                )
                return
            self._gather(iteration)
        seed = getattr(runner.train_dataloader.sampler, 'seed', None)
        last = rows(runner) - 1
        checkpoint['rng_state'] = dict(sampler_seed=seed, ranks=self._gathered[last :: last + 1])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keeps the saved states; whether this is a resume is known only in `before_train`."""
        self._loaded = checkpoint.get('rng_state')

    def before_train(self, runner: Runner) -> None:
        """Restores the sampler's seed and the Python and numpy states at a resume."""
        loaded, self._loaded = self._loaded, None
        # mmengine has restored a resumed run's, and made those of ranks differ if that was asked.
        seed = runner.seed
        if rows(runner) > 1 and differs_by_rank(runner):  # those of a pipeline share theirs
            seed += get_rank() // rows(runner) - get_rank()
        runner.message_hub.update_info(SEED, seed)
        if runner.iter == 0:
            return
        if loaded is None:
            runner.logger.warning(
                'The checkpoint holds no random number generator states (it was saved without '
                'RNGStateHook): training goes on, but not as it would have without the stop.'
            )
            return
        if loaded['sampler_seed'] is not None:
            runner.train_dataloader.sampler.seed = loaded['sampler_seed']
        ranks = loaded['ranks']
        if len(ranks) != get_world_size() // rows(runner):
            runner.logger.warning(
                f'The checkpoint was saved by {len(ranks)} process(es), and '
                f'{get_world_size() // rows(runner)} resume it: training goes on with fresh random '
                'numbers, not bit for bit.'
            )
            return
        self._resumed = ranks[get_rank() // rows(runner)]
        _set_host_state(self._resumed)

    def after_train(self, runner: Runner) -> None:
        """Ends the streams of local modules: what runs later is not of this run."""
        runner.message_hub.update_info(SEED, None)

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Restores the torch states as late as possible: a new dataloader iterator draws a seed."""
        if self._resumed is not None:
            _set_torch_state(self._resumed)
            self._resumed = None

    def _gather(self, iteration: int) -> None:
        """Collects the states of all ranks after `iteration` iterations (collective)."""
        if self._gathered_at != iteration:
            self._gathered = all_gather_object(get_rng_state())
            self._gathered_at = iteration


def checkpoint_due(runner: Runner) -> bool:
    """Whether one of the runner's checkpoint hooks saves after this training iteration."""
    return any(
        hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
        or (hook.save_last and hook.is_last_train_iter(runner))
        or stops_now(runner)
        for hook in runner.hooks
        if isinstance(hook, CheckpointHook) and not hook.by_epoch
    )


def rows(runner: Runner) -> int:
    """How many processes load the same samples: K in a pipeline of K modules, else one."""
    return len(getattr(getattr(runner, 'model', None), 'ranks', (0,)))


def get_rng_state() -> dict[str, Any]:
    """This process's generator states, in types that `torch.load(weights_only=True)` reads."""
    name, keys, *rest = np.random.get_state()
    return dict(
        python=random.getstate(),
        numpy=(name, np.asarray(keys).tolist(), *rest),
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    )


def _set_host_state(state: dict[str, Any]) -> None:
    random.setstate(state['python'])
    np.random.set_state(state['numpy'])


def _set_torch_state(state: dict[str, Any]) -> None:
    # A resume loads the checkpoint onto the device, but generators take CPU tensors.
    torch.set_rng_state(state['torch'].cpu())
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())
