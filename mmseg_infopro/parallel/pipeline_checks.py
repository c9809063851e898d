"""What cannot be a pipeline of local modules, said before training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.optim import OptimWrapperDict

from ..local.local_losses import border_heads, head_name
from ..local.schedule import Pass
from ..local.update import num_names, obstacles, scales_loss
from ..upstream import accumulative_counts

PIPELINE = "local.placement='pipeline'"
STALENESS = 'local.staleness'
REPLICATE = "local.placement='replicate' trains it"


def check_world(num_modules: int, num_processes: int, staleness: int = 0) -> None:
    """Check that processes can be rows of one for each module.

    Args:
        num_modules: K.
        num_processes: Of the job.
        staleness: ``local.staleness``, which goes with one row.

    Raises:
        ValueError: They cannot.
    """
    if num_modules == 1:
        raise ValueError(
            f'{PIPELINE} needs at least 2 local modules, got K=1, which is end to end: set '
            "--num-modules, or local.placement='replicate'"
        )
    if num_modules > num_processes:
        raise ValueError(
            f'{PIPELINE} needs a process for each local module: got {num_modules} modules and '
            f'{num_processes} process{"es" if num_processes > 1 else ""}; valid: '
            f'{num_modules}, {2 * num_modules}, ... processes'
        )
    if num_processes % num_modules:
        raise ValueError(
            f'{PIPELINE} needs a multiple of its {num_modules} local modules as processes, got '
            f'{num_processes}; valid: {num_processes // num_modules * num_modules} or '
            f'{(num_processes // num_modules + 1) * num_modules}'
        )
    if staleness and num_processes > num_modules:
        raise ValueError(
            f'{STALENESS} lets each process choose what it trains on, so that several with the '
            f'same module have no gradients to average: got {num_processes} processes for '
            f'{num_modules} modules; valid: {num_modules}, or local.staleness=0'
        )


def check_passes_spread(passes: Sequence[Pass], num_modules: int, schedule: str) -> None:
    """Check that a step is a pass of each module, alone and in order.

    Raises:
        ValueError: Passes hold several modules, or some do not train in it.
    """
    spans = [(run.first, run.last) for run in passes]
    if spans != [(index, index) for index in range(num_modules)] or not all(
        run.trains for run in passes
    ):
        raise ValueError(
            f'local.schedule ({schedule}) cannot be spread over processes: {PIPELINE} needs steps '
            'in which every module trains, once and alone, as the schedule Local has them, and '
            f'this one has passes of modules {", ".join(_span(run) for run in passes)}; '
            f'{REPLICATE}'
        )


def _span(run: Pass) -> str:
    span = str(run.first) if run.first == run.last else f'{run.first} to {run.last}'
    return span if run.trains else f'{span} (frozen)'


def check_spreads(model: Any) -> None:
    """Check that each module of a model can train on a process of its own.

    Raises:
        ValueError: One has nothing to train, one follows another one's weights, or parameters
            belong to several.
    """
    num_modules = len(model.boundaries) + 1
    for iteration in model.schedule.phases(num_modules).values():
        passes = model.schedule(iteration, num_modules)
        check_passes_spread(passes, num_modules, type(model.schedule).__name__)
    frozen = [module.index for module in model.local_modules if module.frozen]
    if frozen:
        raise ValueError(
            f'local module {frozen[0]} is frozen, and its process would be idle: {PIPELINE} needs '
            'something to train in every module; move the first boundary behind what is frozen, or '
            f'{REPLICATE}'
        )
    for index in range(num_modules - 1):
        for head in border_heads(model, index):
            if hasattr(head, 'follow'):
                raise ValueError(
                    f'the local head {head_name(head)} of module {index} follows weights of later '
                    f'modules, which {PIPELINE} keeps on other processes: {REPLICATE}'
                )
    counts = num_names(model)
    shared = [name for name, p in model.named_parameters() if counts[p] > 1]
    if shared:
        raise ValueError(
            f'{len(shared)} parameter(s), as {shared[0]}, have several names and may be of several '
            f'local modules: {PIPELINE} needs each on one process; {REPLICATE}'
        )


def check_accumulation(staleness: int, count: int) -> None:
    """Check that the iterations in which a module trains are updates.

    Raises:
        ValueError: Several iterations are one update, with staleness.
    """
    if staleness and count > 1:
        raise ValueError(
            f'{STALENESS} lets processes leave out iterations, so that updates of several '
            'iterations would be of different ones in each module: set '
            'optim_wrapper.accumulative_counts=1 or local.staleness=0, got '
            f'{count} and {staleness}'
        )


def check_optimizer(model: Any, optim_wrapper: Any, staleness: int = 0) -> None:
    """Check that each module's update needs that module alone.

    Args:
        model: The segmentor.
        optim_wrapper: Of the whole model.
        staleness: ``local.staleness``.

    Raises:
        ValueError: It needs all of them.
    """
    if isinstance(optim_wrapper, OptimWrapperDict):
        raise ValueError(
            f'{PIPELINE} needs one optimizer, got {type(optim_wrapper).__name__}; {REPLICATE}'
        )
    check_accumulation(staleness, accumulative_counts(optim_wrapper))
    needs_all = one_update(
        clips=bool(optim_wrapper.clip_grad_kwargs) and not model.norm_per_module,
        scales=scales_loss(optim_wrapper) and not model.update_per_module,
    )
    if needs_all:
        raise ValueError(needs_all)
    found = obstacles(optim_wrapper, norm_per_module=True)
    if found:
        raise ValueError(f'{PIPELINE} does not go with {", ".join(found)}; {REPLICATE}')


def one_update(clips: bool, scales: bool) -> str | None:
    """Return why an update cannot be of one module, or None.

    Args:
        clips: Gradients are clipped by one norm.
        scales: Losses are scaled by one scale.
    """
    if not (clips or scales):
        return None
    what = 'optim_wrapper.clip_grad' if clips else 'loss scaling (optim_wrapper of float16)'
    return (
        f'{what} takes one {"norm" if clips else "scale"} over the whole model, which needs the '
        f'gradients of every module before any update, so that with {PIPELINE} nothing could '
        "overlap: set model.local.update='module', each module's own, on one process too"
    )
