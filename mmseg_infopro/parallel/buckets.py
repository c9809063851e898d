"""What is exchanged between processes at once: some tensors as one flat tensor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

AnyTensor = TypeVar('AnyTensor', bound=Tensor)


def split(tensors: Iterable[AnyTensor], max_bytes: float) -> list[list[AnyTensor]]:
    """Split tensors into parts of one dtype and device.

    Args:
        tensors: In the order in which they become ready.
        max_bytes: Of a part; a larger tensor is a part of its own.

    Returns:
        The parts, in the order in which they become ready.
    """
    parts: list[list[tuple[int, AnyTensor]]] = []
    current: dict[tuple[torch.dtype, torch.device], list[tuple[int, AnyTensor]]] = {}
    sizes = Counter[tuple[torch.dtype, torch.device]]()
    for position, tensor in enumerate(tensors):
        kind = tensor.dtype, tensor.device
        if kind not in current or sizes[kind] + tensor.nbytes > max_bytes:
            current[kind], sizes[kind] = [], 0
            parts.append(current[kind])
        current[kind].append((position, tensor))
        sizes[kind] += tensor.nbytes
    parts.sort(key=lambda part: part[-1][0])
    return [[tensor for _, tensor in part] for part in parts]


def views(flat: Tensor, tensors: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield views of a flat tensor with the shapes of others, and their memory format if dense."""
    start = 0
    for tensor in tensors:
        part = flat[start : start + tensor.numel()]
        start += tensor.numel()
        dense = _is_dense(tensor)
        yield part.as_strided(tensor.shape, tensor.stride()) if dense else part.view(tensor.shape)


def _is_dense(tensor: Tensor) -> bool:
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    return sum((size - 1) * stride for size, stride in steps) + 1 == tensor.numel()


@torch.no_grad()
def broadcast(
    tensors: Iterable[Tensor], max_bytes: float, group: dist.ProcessGroup | None = None
) -> None:
    """Copy the first process's values to all others, in few messages."""
    for part in split(tensors, max_bytes):
        flat = torch.cat([tensor.flatten() for tensor in part])
        dist.broadcast(flat, group=group, group_src=0)
        for tensor, value in zip(part, flat.split([t.numel() for t in part]), strict=True):
            tensor.copy_(value.view(tensor.shape))


class Bucket:
    """Gradients of some parameters of a local module, averaged as one flat tensor.

    Behind them in that tensor stands one number for each parameter, not zero if any process has a
    gradient for it. It is read, which makes the host wait for a GPU, only if this process has none.

    Args:
        module: Number of the local module.
        parameters: By name; of one dtype on one device.
        arrived: Called when one of the gradients has come.
    """

    def __init__(
        self, module: int, parameters: dict[str, nn.Parameter], arrived: Callable[[], None]
    ) -> None:
        self.module = module
        self._parameters = parameters
        self._outstanding = set(parameters)
        self._missing: list[tuple[nn.Parameter, Tensor, Tensor]] = []
        self._work: dist.Work | None = None
        self._handles = [
            parameter.register_post_accumulate_grad_hook(partial(self._see, name, arrived))
            for name, parameter in parameters.items()
        ]

    @property
    def full(self) -> bool:
        """Whether all its parameters have got their gradient."""
        return not self._outstanding

    def _see(self, name: str, arrived: Callable[[], None], parameter: Tensor) -> None:
        if self._work is not None:
            raise RuntimeError(
                f'{name} of local module {self.module} got gradient while its average was under '
                'way: it is used after the last backward pass of its module, or twice in it by '
                'checkpoints with use_reentrant=True'
            )
        self._outstanding.discard(name)
        arrived()

    @torch.no_grad()
    def launch(self, group: dist.ProcessGroup | None) -> None:
        """Start the average; the gradients become views of the flat tensor."""
        parameters = list(self._parameters.values())
        numel = sum(parameter.numel() for parameter in parameters)
        flat = parameters[0].new_empty(numel + len(parameters))
        all_used = flat[numel:].fill_(1)
        num_processes = dist.get_world_size(group)
        for parameter, view, used in zip(
            parameters, views(flat, parameters), all_used, strict=True
        ):
            if parameter.grad is None:
                view.zero_()
                used.zero_()
                self._missing.append((parameter, view, used))
            else:
                parameter.grad = torch.div(parameter.grad, num_processes, out=view)
        self._work = dist.all_reduce(flat, group=group, async_op=True)

    def finish(self) -> None:
        """Wait for the average; what only other processes used has got a gradient then."""
        if self._work is not None:
            self._work.wait()
        self.leave()
        for parameter, view, used in self._missing:
            if used.item():
                parameter.grad = view

    def leave(self) -> None:
        """Stop to watch the parameters."""
        for handle in self._handles:
            handle.remove()
