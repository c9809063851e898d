"""Bytes on a CPU by the rules of a GPU, whose memory dry steps predict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.library import Library

from ..upstream import aten_overrides, has_kernel, tree_map_only

IN_FP32 = (
    'exp', 'expm1', 'log', 'log10', 'log2', 'log1p', 'reciprocal', 'rsqrt', 'softplus',
    'pow.Tensor_Scalar', 'pow.Tensor_Tensor', 'pow.Scalar',
    'layer_norm', 'native_layer_norm', 'rms_norm', 'group_norm', 'cosine_similarity', 'logsumexp',
    'upsample_nearest2d', 'upsample_bilinear2d', 'upsample_bicubic2d',
)  # fmt: skip
"""Operations whose floating-point arguments CUDA's autocast casts to float32, and a CPU's does not:
those with maps, of ``AT_FORALL_FP32`` in ATen's ``autocast_mode.h``."""
TO_FP32 = (
    'softmax.int',
    'log_softmax.int',
    'sum',
    'sum.dim_IntList',
    'cumsum',
    'linalg_vector_norm',
)
"""Operations that return float32 unless told otherwise: ``AT_FORALL_FP32_SET_OPT_DTYPE``."""


@contextmanager
def gpu_rules() -> Iterator[None]:
    """Context in which tensors on a CPU have the bytes that they would have on a GPU.

    On a CPU, autocast leaves norms, softmax and upsampling in the reduced precision, which would
    make the maps of a transformer half as large as they are on a GPU; only operations that the
    installed torch autocasts on CUDA are changed. Dropout saves a mask of floating-point numbers
    there, and one of booleans on a GPU. Must not be nested.
    """
    library = aten_overrides()
    for name in IN_FP32:
        _override(library, name, _casting)
    for name in TO_FP32:
        _override(library, name, _returning)
    library.impl('dropout', _fused_dropout, 'AutogradCPU')
    try:
        yield
    finally:
        del library  # and with it what it changed


def _override(library: Library, name: str, make: Callable[[Any], Callable[..., Any]]) -> None:
    if has_kernel(f'aten::{name}', 'AutocastCUDA'):
        packet, _, overload = name.partition('.')
        operation = getattr(getattr(torch.ops.aten, packet), overload or 'default')
        library.impl(name, make(operation), 'AutocastCPU')


def _casting(operation: Any) -> Callable[..., Any]:
    def in_fp32(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast('cpu', enabled=False):
            args, kwargs = tree_map_only(Tensor, _float, (args, kwargs))
            return operation(*args, **kwargs)

    return in_fp32


def _returning(operation: Any) -> Callable[..., Any]:
    def to_fp32(tensor: Tensor, *args: Any, dtype: torch.dtype | None = None) -> Tensor:
        with torch.autocast('cpu', enabled=False):
            dtype = dtype or (torch.float32 if _is_reduced(tensor) else None)
            return operation(tensor, *args, dtype=dtype)

    return to_fp32


def _fused_dropout(tensor: Tensor, p: float, train: bool) -> Tensor:
    return torch.ops.aten.native_dropout(tensor, p, train)[0] if train and p else tensor


def _is_reduced(tensor: Tensor) -> bool:
    return tensor.dtype in (torch.float16, torch.bfloat16)


def _float(tensor: Tensor) -> Tensor:
    return tensor.float() if _is_reduced(tensor) else tensor
