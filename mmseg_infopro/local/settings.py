"""The ``local`` setting of a model: what a user may write, checked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

from infopro.words import DEFAULT_MARGIN

from ..measure.sizes import parse_bytes
from ..recompute.groups import Recompute, read_groups
from .infopro_heads import DEFAULT, read_heads
from .setting_types import check_types

PARTITION_KEYS = ('num_modules', 'boundaries', 'memory_cap')
CONTEXT_MARGIN = '0.75GiB'
"""What a process holds on a card outside of torch's allocator: the CUDA context, the kernels that
are loaded, NCCL's buffers."""


@dataclass(frozen=True)
class LocalSettings:
    """The keys of ``model.local``; exactly one of the first three is set.

    Attributes:
        num_modules: K; the boundaries are planned.
        boundaries: The units after which a local module ends, in order; none of them is E2E.
        memory_cap: What the card may hold, as ``'12GiB'``, or tensors as a share of what end-to-end
            training needs, as ``'40%'``; only ``mmseg_infopro.resolve`` can plan for it.
        memory_margin: The part of the cap that is not for tensors, by default
            :data:`infopro.words.DEFAULT_MARGIN`.
        heads: The local heads of every boundary; ``'fitted'``, the default, or ``'paper'`` for
            InfoPro's. A ``loss_weight`` given as ``(first, last)`` is interpolated linearly over
            the local modules.
        balance_interval: Iterations between two measurements for a ``loss_weight`` that is
            ``'balanced'``.
        warm_start: Load the backbone and decode heads of a checkpoint of any partition, and start
            with fresh local heads where its own do not fit.
        recompute: Which activations inside the modules are computed a second time, in the backward
            pass: ``'none'``; ``'cheap'``, those of everything but convolutions, matrix products and
            attention, so that it costs bandwidth but no FLOPs; ``'units'``, all inside each unit;
            ``'auto'``, those that a memory cap needs, the fewest FLOPs per byte first; without one
            all that lower the peak of K modules; or the groups that were chosen, see
            :class:`RecomputeGroup`, which need ``boundaries``.
        schedule: Which passes a step takes: ``dict(type=...)`` of
            :data:`mmseg_infopro.local.schedules.SCHEDULES`.
        context: What is added to what modules start from: ``dict(type=...)`` of
            :data:`mmseg_infopro.local.context.CONTEXTS`; None adds nothing.
        image_range: Of the images before the data preprocessor, for heads that rebuild them:
            ``(low, high)``; ``'measured'``, each channel's over the first images; None is that of
            8-bit images, where the model can tell.
        update_per_module: Step the optimizer after each module, whose gradients are then gone, to
            the same weights. On several processes, each module then waits until the gradients of
            the one before it are averaged. Loss scaling has a scale for each module, see
            :mod:`mmseg_infopro.local.scaling`. Ignored, with a warning, if all gradients are needed
            at once: with clipping, accumulation, or an optimizer that is not known.
        update: What one update is of: ``'step'``, all parameters; ``'module'``, those of each
            module, with a loss scale, a skipped update and a norm to clip of its own. It is
            ``update_per_module`` that changes what is trained where gradients are clipped, and goes
            with accumulation.
        placement: Where the modules are on several processes: ``'replicate'``, each process has
            all; ``'pipeline'``, each has one, see
            :class:`mmseg_infopro.parallel.ModuleParallel`.
        in_flight: How many batches a process of a pipeline may be ahead of the next one.
        border_dtype: What floats travel in between the processes of a pipeline: None as they are,
            ``'bfloat16'`` for half of the bytes, rounded.
        staleness: How many iterations old the features may be that a process of a pipeline trains
            on, so that none waits for a slow one; 0 is exact, see
            :class:`mmseg_infopro.parallel.StaleLink`.
        reuse: How often a process may train on the same features; None is ``staleness`` + 1.
        process_timeout: Seconds after which a process of a pipeline that another one waits for
            counts as lost.
        chunked_losses: Compute every decode head's softmax cross-entropy sample by sample, so that
            full-size logits of a whole batch never live at once; other losses stay as they are.
        offload: Whether what the modules save for their backward passes waits in the host's memory,
            see :mod:`mmseg_infopro.recompute.offload`; or the numbers of the modules that do so.
        may_thaw: Names or patterns of parameters, or of layers, that are frozen at first and may be
            thawed in a run: their modules get local heads, and are planned for it.
        compile: Run each local module's units through ``torch.compile``: True, or its arguments,
            and ``activation_memory_budget``, see :func:`~.units.compile_units`.
        channels_last: Keep weights and activations in the channels-last memory format.
        planned_for: The step that a command planned a config for, and the peak that it predicted:
            ``dict(batch_size, crop, precision, peak_bytes)``. Another step warns.
        optimizer_before: What the config's optimizer had before a recipe put one of 8 bits in its
            place, ``dict(type='SGD')``, for another recipe to give it back.
    """

    num_modules: int | None = None
    boundaries: tuple[str, ...] | None = None
    memory_cap: int | str | None = None
    memory_margin: int | str = DEFAULT_MARGIN
    heads: tuple[dict, ...] = ()
    balance_interval: int = 50
    warm_start: bool = False
    recompute: Recompute = 'none'
    schedule: Mapping[str, Any] = field(default_factory=lambda: dict(type='Local'))
    context: Mapping[str, Any] | None = None
    image_range: Sequence[float] | str | None = None
    update_per_module: bool = False
    update: str = 'step'
    placement: str = 'replicate'
    in_flight: int = 2
    border_dtype: str | None = None
    staleness: int = 0
    reuse: int | None = None
    process_timeout: float = 600.0
    chunked_losses: bool = False
    offload: bool | tuple[int, ...] = False
    may_thaw: tuple[str, ...] = ()
    compile: dict[str, Any] | None = None
    channels_last: bool = False
    planned_for: Mapping[str, Any] | None = None
    optimizer_before: Mapping[str, Any] | None = None

    @property
    def norm_per_module(self) -> bool:
        """Return whether each module's update has its own scale and norm."""
        return self.update == 'module'

    @property
    def margin_bytes(self) -> int:
        """Return the margin in bytes."""
        return parse_bytes(self.memory_margin)


def read_local_settings(local: Mapping[str, Any]) -> LocalSettings:
    """Check the keys and types of ``model.local``.

    Raises:
        TypeError: A value is of the wrong type.
        ValueError: An unknown key, or not exactly one of ``num_modules``, ``boundaries`` and
            ``memory_cap``.
    """
    if not isinstance(local, Mapping):
        raise TypeError(f'local must be a dict, got {type(local).__name__}')
    known = [item.name for item in fields(LocalSettings)]
    unknown = [key for key in local if key not in known]
    if unknown:
        near = get_close_matches(unknown[0], known, 1)
        hint = f'; did you mean {near[0]}?' if near else ''
        raise ValueError(
            f'unknown key in local: {", ".join(unknown)}; valid keys: {", ".join(known)}{hint}'
        )
    given = [key for key in PARTITION_KEYS if local.get(key) is not None]
    if len(given) != 1:
        raise ValueError(
            f'local must hold exactly one of {", ".join(PARTITION_KEYS)}, '
            f'got {" and ".join(given) or "none"} (set the others to None in a child config)'
        )
    settings = {key: value for key, value in local.items() if value is not None}
    heads = read_heads(settings.get('heads', DEFAULT))
    check_types(settings, heads)
    if 'boundaries' in settings:
        settings['boundaries'] = tuple(settings['boundaries'])
    if 'may_thaw' in settings:
        settings['may_thaw'] = tuple(settings['may_thaw'])
    if not isinstance(settings.get('recompute', ''), str):
        settings['recompute'] = read_groups(settings['recompute'])
    if not isinstance(settings.get('offload', False), bool):
        settings['offload'] = tuple(settings['offload'])
    if settings.get('update') == 'module':
        settings['update_per_module'] = True
    compile_arguments = settings.pop('compile', False)
    if compile_arguments is not False:
        settings['compile'] = {} if compile_arguments is True else dict(compile_arguments)
    return LocalSettings(**{**settings, 'heads': tuple(heads)})


def offloaded_modules(offload: bool | Sequence[int], num_modules: int) -> frozenset[int]:
    """Return the numbers of the modules that ``local.offload`` means.

    Raises:
        ValueError: One is none of the modules.
    """
    if isinstance(offload, bool):
        return frozenset(range(num_modules) if offload else ())
    if max(offload, default=0) >= num_modules:
        raise ValueError(
            f'local.offload names module {max(offload)}, and there are {num_modules}, '
            f'numbered from 0: {list(range(num_modules))}'
        )
    return frozenset(offload)


def check_boundaries(boundaries: Sequence[str], names: Sequence[str], backbone: str) -> None:
    """Check that ``boundaries`` are units of the backbone, in order and without repeats.

    Args:
        boundaries: What the user asks for.
        names: What the backbone can be cut at, in order.
        backbone: Its name, for the error.

    Raises:
        ValueError: A boundary does not exist, or the order is wrong.
    """
    for boundary in boundaries:
        if boundary not in names:
            raise ValueError(
                f'boundary {boundary!r} does not exist in {backbone}; valid: {", ".join(names)}'
            )
    positions = [names.index(boundary) for boundary in boundaries]
    if any(later <= earlier for earlier, later in pairwise(positions)):
        ordered = [names[position] for position in sorted(set(positions))]
        raise ValueError(
            f'boundaries must follow the order of the units, each once, got {list(boundaries)}; '
            f'did you mean {ordered}?'
        )


def check_num_modules(num_modules: int, num_units: int, backbone: str) -> None:
    """Check that a backbone of ``num_units`` units can be cut into ``num_modules``.

    Raises:
        ValueError: It cannot.
    """
    if not 1 <= num_modules <= num_units:
        raise ValueError(
            f'num_modules must be between 1 and {num_units} for {backbone}, got {num_modules}'
        )
