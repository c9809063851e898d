"""Where the weights lie in what a checkpoint file holds: publishers nest them under many names."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PREFERRED = ('state_dict', 'model', 'teacher', 'model_ema', 'state_dict_ema', 'student', 'module')
"""Keys that weights lie under, the one that is taken first if there are several."""
DTYPES = {
    'F64': torch.float64,
    'F32': torch.float32,
    'F16': torch.float16,
    'BF16': torch.bfloat16,
    'I64': torch.int64,
    'I32': torch.int32,
    'I16': torch.int16,
    'I8': torch.int8,
    'U8': torch.uint8,
    'BOOL': torch.bool,
}
"""What safetensors calls the types of numbers."""


def with_state_dict(content: Any) -> dict[str, Any] | None:
    """Return what a file holds with its weights as ``state_dict``, as mmengine reads them.

    A plain dictionary of tensors is one already. If tensors lie elsewhere, only they are returned.

    Returns:
        None if there are no weights, or it is not clear which they are.
    """
    if not isinstance(content, dict) or not content:
        return None
    if _is_weights(content.get('state_dict')) or _is_weights(content):
        return content
    nested = {key: value for key, value in content.items() if _is_weights(value)}
    known = [key for key in PREFERRED if key in nested]
    if known or len(nested) == 1:
        return dict(state_dict=nested[known[0] if known else next(iter(nested))])
    inner = [with_state_dict(value) for value in content.values() if isinstance(value, dict)]
    found = [value for value in inner if value is not None]
    return found[0] if len(found) == 1 else None


def _is_weights(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(key, str) for key in value)
        and all(isinstance(weight, Tensor) for weight in value.values())
    )


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """Read a file of https://github.com/huggingface/safetensors, which holds nothing but tensors.

    Raises:
        ValueError: It is damaged, or holds numbers of another type.
    """
    content = bytearray(file.read_bytes())
    length = int.from_bytes(content[:8], 'little')
    if len(content) < 8 + length:
        raise ValueError('it ends too early')
    header = json.loads(bytes(content[8 : 8 + length]))
    weights = {}
    for name, entry in header.items():
        if name == '__metadata__':
            continue
        dtype, shape, (begin, end) = entry['dtype'], entry['shape'], entry['data_offsets']
        if dtype not in DTYPES:
            raise ValueError(f'{name} is of the type {dtype}; known are {", ".join(DTYPES)}')
        count = math.prod(shape)
        if not 0 <= begin <= end <= len(content) - 8 - length or (
            end - begin != count * DTYPES[dtype].itemsize
        ):
            raise ValueError(f'{name} does not lie where its header says')
        weights[name] = torch.empty(shape, dtype=DTYPES[dtype])
        if count:
            flat = torch.frombuffer(content, dtype=torch.uint8)[8 + length + begin :][: end - begin]
            weights[name] = flat.clone().view(DTYPES[dtype]).reshape(shape)
    return weights
