"""A runner's model, with or without a wrapper of several processes around it."""

from __future__ import annotations

from typing import Any

from mmengine.model import is_model_wrapper


def unwrapped(model: Any) -> Any:
    """Return what a data-parallel wrapper holds; any other model is returned itself."""
    return model.module if is_model_wrapper(model) else model
