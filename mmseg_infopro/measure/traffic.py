"""The bytes that a step's operations read and write: what memory bandwidth is spent on."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..upstream import tree_leaves


class Traffic:
    """Adds up what operations read and write; given to a dry step as ``watch``.

    Each operation reads its arguments once and writes its results once, as one kernel would. Views
    and fresh tensors that nothing is written to cost nothing.

    Attributes:
        num_bytes: Up to now.
    """

    def __init__(self) -> None:
        self.num_bytes = 0

    def __call__(self, func: Any, result: Any, args: Any, kwargs: Any) -> None:
        """Count an operation."""
        if func.is_view or func.__name__.startswith(('empty', 'new_empty')):
            return
        read = {id(leaf): leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        written = {id(leaf): leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)}
        for leaf in (*read.values(), *written.values()):
            self.num_bytes += leaf.numel() * leaf.element_size()
