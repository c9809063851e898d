"""The private names of torch, mmengine and mmseg that this package relies on: all of them, once.

Another version may rename or change any of them; ``tests/test_upstream.py`` says which.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from mmengine.config import Config
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensor, FakeTensorMode
from torch.library import Library
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode as _DispatchMode
from torch.utils._pytree import (
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_map_only,
    tree_unflatten,
)

if TYPE_CHECKING:
    from mmengine.optim import OptimWrapper

__all__ = [
    'FakeCopyMode',
    'FakeTensor',
    'FakeTensorMode',
    'TorchDispatchMode',
    'tree_flatten',
    'tree_leaves',
    'tree_map',
    'tree_map_only',
    'tree_unflatten',
]

OVERRIDDEN = {
    'mmengine.dataset.InfiniteSampler': '_indices_of_rank',
    'mmseg.datasets.LoadAnnotations': '_load_seg_map',
    'torch.nn.Module': '_load_from_state_dict',
}
"""Private methods that a class of this package overrides: theirs must go on calling them."""

# ---- torch: operations

FAKE_TENSOR_LOGGER = 'torch._subclasses.fake_tensor'
"""The logger of the errors that operations on fake tensors raise."""

FLASH_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention
FLASH_ATTENTION_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_backward
FLASH_ATTENTION_ON_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
FLASH_BACKWARD_ON_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
READ_DEVICE = torch.ops.prim.device.default
"""What reads the device of a fake tensor, as autograd does of every input."""
FUSED_SGD = (torch.ops.aten._fused_sgd_.default, torch.ops.aten._fused_sgd_.tensor_lr)
"""An update of all parameters by one kernel, in place. Fake tensors have none of their own for it:
they would run the real one, on real zeros."""
READ_VALUE = torch.ops.aten._local_scalar_dense.default
"""What ``Tensor.item`` runs."""
UNIQUE = torch.ops.aten._unique2.default
"""What ``Tensor.unique`` runs."""


class TorchDispatchMode(_DispatchMode):
    """torch's, whose methods torch.compile may look into: to hide each call from it takes time."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


def schema_arguments(func: Any) -> Sequence[Any]:
    """Return the arguments that an operation declares: name, default value, what it writes to."""
    return func._schema.arguments


def has_kernel(operation: str, dispatch_key: str) -> bool:
    """Whether an operation, as ``'aten::exp'``, has a kernel of its own for a dispatch key."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(operation, dispatch_key)


def aten_overrides() -> Library:
    """Return a library whose kernels replace ATen's, in the whole process, while it is held."""
    return Library('aten', 'IMPL')


# ---- torch: tensors


def storage_id(storage: torch.UntypedStorage) -> int:
    """Return what tells storages that are alive apart, fake ones too, which have no address."""
    return storage._cdata


def device_of(tensor: Tensor) -> torch.device:
    """Return what :data:`READ_DEVICE` does; of a fake tensor without going through its mode."""
    if type(tensor) is FakeTensor and not tensor.fake_mode.in_kernel_invocation:
        return tensor.fake_device
    return READ_DEVICE(tensor)


def version(tensor: Tensor) -> int:
    """Return how often a tensor, or another one on the same storage, was written to in place."""
    return tensor._version


def detached(tensor: Tensor) -> Tensor:
    """Detach a tensor; a plain one without going through the dispatch modes, which takes longer."""
    if type(tensor) is not Tensor:
        return tensor.detach()
    with torch._C._DisableTorchDispatch():
        return tensor.detach()


def use_counts(tensor: Tensor) -> tuple[int, int] | None:
    """Return how many hold a tensor, and how many its storage; None where torch does not count."""
    if not hasattr(tensor, '_use_count'):
        return None
    storage = tensor.untyped_storage()
    return tensor._use_count(), torch._C._storage_Use_Count(storage._cdata)


# ---- torch: the rest


def in_backward_pass() -> bool:
    """Whether autograd's engine runs what is running."""
    return torch._C._current_graph_task_id() != -1


def at_end_of_backward(callback: Callable[[], None]) -> None:
    """Let autograd's engine call this when the backward pass that it runs has ended well."""
    torch.autograd.Variable._execution_engine.queue_callback(callback)


def own_buffers(layer: nn.Module) -> dict[str, Tensor | None]:
    """Return a layer's own buffers by name; to set one in it takes less time than by attribute."""
    return layer._buffers


def direct_parts(layer: nn.Module) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return a layer's own parameters, buffers and layers by name; unset ones are None."""
    return dict(layer._parameters), dict(layer._buffers), dict(layer._modules)


def with_parts(
    layer: nn.Module, parameters: dict[str, Any], buffers: dict[str, Any], layers: dict[str, Any]
) -> Any:
    """Return a layer of the same class and settings with other parts, and without hooks."""
    other = nn.Module.__new__(type(layer))
    for name, value in vars(layer).items():
        vars(other)[name] = type(value)() if 'hooks' in name else value
    vars(other).update(
        _parameters=parameters,
        _buffers=buffers,
        _modules=layers,
        _non_persistent_buffers_set=set(layer._non_persistent_buffers_set),
    )
    return other


def has_step_hooks(optimizer: Optimizer) -> bool:
    """Whether something waits for the optimizer's steps, before or after them."""
    return bool(optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks)


def overflow_of_step(optimizer: Optimizer) -> Tensor | None:
    """Return, in a fused optimizer's step under loss scaling, 1 where gradients overflowed, else 0.

    A tensor that nobody waits for; None for any other step, which is not called in that case.
    """
    return getattr(optimizer, 'found_inf', None)


def allow_compiled_graphs(number: int) -> None:
    """Let torch.compile make at least so many graphs of a function before it gives up."""
    config = torch._dynamo.config
    config.cache_size_limit = max(config.cache_size_limit, number)


def activation_budget(share: float) -> AbstractContextManager[None]:
    """Context in which torch.compile keeps so much of what it would for the backward pass."""
    return torch._functorch.config.patch(activation_memory_budget=share)


def job_store() -> Any:
    """Return the store by which the processes of a job have found each other."""
    return dist.distributed_c10d._get_default_store()


def launcher_holds_store() -> bool:
    """Whether that store is the launcher's, and not one of the first process."""
    return os.environ.get('TORCHELASTIC_USE_AGENT_STORE') == 'True'


@contextmanager
def as_world(group: dist.ProcessGroup) -> Iterator[None]:
    """Context in which exchanges between all processes are among those of a group."""
    world = dist.distributed_c10d._world
    before, world.default_pg = world.default_pg, group
    try:
        yield
    finally:
        world.default_pg = before


# ---- mmengine


@contextmanager
def uncounted(optim_wrapper: OptimWrapper) -> Iterator[None]:
    """Context in which backward passes do not count.

    ``OptimWrapper.backward`` counts its calls, and the count drives gradient accumulation and
    ``should_update``; a step must count once, for all of its losses.
    """
    count = optim_wrapper._inner_count
    try:
        yield
    finally:
        optim_wrapper._inner_count = count


def accumulative_counts(optim_wrapper: OptimWrapper) -> int:
    """Return over how many steps a wrapper accumulates gradients before an update."""
    return optim_wrapper._accumulative_counts


def updates_now(optim_wrapper: OptimWrapper) -> bool:
    """Whether the step that runs, whose backward pass is yet to count, ends in an update."""
    with uncounted(optim_wrapper):
        optim_wrapper._inner_count += 1
        return optim_wrapper.should_update()


def differs_by_rank(runner: Any) -> bool:
    """Whether a runner adds its rank to the seed that it was given."""
    return bool(runner._randomness_cfg.get('diff_rank_seed'))


def is_pure_python(config: str) -> bool:
    """Whether a config file is in mmengine's newer style, in which types are classes."""
    return Config._is_lazy_import(config)


# ---- mmseg


def decode_head_losses(model: Any, features: Any, data_samples: Any) -> dict[str, Tensor]:
    """Return the losses of a segmentor's decode head, of all its heads if it is a cascade.

    Args:
        model: The segmentor.
        features: Of its backbone and neck.
        data_samples: With the label maps.
    """
    return model._decode_head_forward_train(features, data_samples)


def segmentor_logits(model: Any, inputs: Tensor, data_samples: Any) -> Any:
    """Return the logits of a segmentor at the size of its head, before any resizing."""
    return model._forward(inputs, data_samples)


def stack_labels(head: Any, data_samples: Any) -> Tensor:
    """Return the label maps of a batch, ``(B, 1, H, W)``, as a decode head reads them."""
    return head._stack_batch_gt(data_samples)


def head_inputs(head: Any, features: Any) -> Any:
    """Return the features that a decode head reads: those of ``in_index``, resized, joined."""
    return head._transform_inputs(features)


def normalizes(preprocessor: Any) -> bool:
    """Whether a data preprocessor has a mean and a standard deviation and applies them."""
    return getattr(preprocessor, '_enable_normalize', False)


def swaps_channels(preprocessor: Any) -> bool:
    """Whether a data preprocessor turns BGR into RGB, or the other way round."""
    return preprocessor._channel_conversion


def check_divisible(unet: Any, image: Tensor) -> None:
    """Let a UNet check that it can halve an image as often as it has stages.

    Raises:
        AssertionError: It cannot.
    """
    unet._check_input_divisible(image)


def add_positions(vit: Any, tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """Let a vision transformer add its position embedding, resized to ``size`` in patches."""
    return vit._pos_embeding(tokens, size, vit.pos_embed)


# ---- efficientnet-lite-pytorch


def efficientnet_parts(network: Any) -> tuple[Any, Any, Any]:
    """Return the stem's convolution and norm, and the blocks, of the package's network."""
    return network._conv_stem, network._bn0, network._blocks


def block_widths(block: Any) -> tuple[int, int]:
    """Return the channels that a block takes and gives."""
    return block._block_args.input_filters, block._block_args.output_filters


def depthwise_convolution(block: Any) -> Any:
    """Return the convolution of a block that has its stride."""
    return block._depthwise_conv
