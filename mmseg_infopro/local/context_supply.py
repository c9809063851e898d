"""ContSup: modules also get the image, or what earlier modules started from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from ..backbones import State
from ..backbones.branches import NO_BRANCHES
from .context import CONTEXTS, Context

STEM_CHANNELS = 12
"""Between the two convolutions of an image's embedding, for a width of 1."""

VALID_STATES = (
    'a context needs a state of maps (B, C, H, W), or of tokens (B, N, C) with the size of their '
    'map, alone or in lists and dicts'
)


@CONTEXTS.register_module()
class ContextSupply(Context):
    """Adds embeddings of the image and of earlier modules' inputs to a detached state.

    Contextual supply, https://arxiv.org/abs/2312.07636: a module starts from ``sg(h) + E(image) +
    sum_j R_j(sg(c_j))``, its contexts ``c_j`` being what the modules before it started from, the
    newest first, down to the image; with an embedding of the image, that is no context. ``E`` is
    two times 3x3 convolution, norm and ReLU, ``R`` a 1x1 convolution, norm and ReLU. Modes: E is
    ``image=True, history=0``; Rn ``image=False, history=n``; RnE both.

    The paper pools to the state's size at the end, on images of 32 pixels; at full resolution that
    would hold all channels of the state at stride 1, so here an average pool comes first, unless
    ``pool_first=False`` asks for the paper's order. Every map of a state gets embeddings of its own
    (each branch of HRNet), and so do tokens with a size, without class tokens. Of a context with
    several maps the first one is read.

    Args:
        entries: As for :class:`Context`.
        image: Whether to embed the image.
        history: Of how many earlier modules the inputs are embedded, at most.
        width: Factor of the channels between the image's convolutions.
        norm_cfg: Of all norms; the model's if not given.
        pool_first: Whether what is embedded is pooled, and not its embedding.

    Raises:
        ValueError: Nothing is to be embedded, or a state is neither maps nor tokens with a size.
    """

    def __init__(
        self,
        entries: Sequence[Any],
        image: bool = True,
        history: int = 1,
        width: float = 1.0,
        norm_cfg: Mapping[str, Any] | None = None,
        pool_first: bool = True,
    ) -> None:
        super().__init__(entries)
        if history < 0 or not (image or history):
            raise ValueError(
                'one of image and history must be set, history to at least 0, got '
                f'image={image} and history={history}'
            )
        *earlier, own = entries
        channels = [_channels(size) for size in maps_of(own)]
        # The first module starts from the image.
        contexts = [maps_of(entry)[0] for entry in reversed(earlier)][:history]
        if image and len(contexts) == len(earlier):
            contexts = contexts[:-1]
        self.history, self._num_contexts = history, len(contexts)
        self.pool_first = pool_first
        norm = dict(norm_cfg or dict(type='BN'))
        stem, in_channels = round(STEM_CHANNELS * width), entries[0][1]
        self.embed_image = nn.ModuleList(
            nn.Sequential(
                ConvModule(in_channels, stem, 3, padding=1, norm_cfg=norm),
                ConvModule(stem, width_of_map, 3, padding=1, norm_cfg=norm),
            )
            for width_of_map in channels
            if image
        )
        self.embed_history = nn.ModuleList(
            nn.ModuleList(
                ConvModule(_channels(size), width_of_map, 1, norm_cfg=norm) for size in contexts
            )
            for width_of_map in channels
        )

    def forward(self, state: State, image: Tensor, history: Sequence[State]) -> State:
        """Return the state with the embeddings added; nothing is written to."""
        contexts = [as_map(maps_of(state)[0]) for state in reversed(history)]
        contexts = contexts[: self._num_contexts]
        sizes = map(_map_size, maps_of(state))
        added = iter([self._embedding(i, size, image, contexts) for i, size in enumerate(sizes)])
        return replaced_maps(state, lambda value: _plus(value, next(added)))

    def _embedding(
        self, index: int, size: tuple[int, int], image: Tensor, contexts: Sequence[Tensor]
    ) -> Tensor:
        """Return what is added to one map, ``(B, C, h, w)``."""
        embeds: Any = [*self.embed_history[index]]  # type: ignore[misc]
        read = list(contexts)
        if self.embed_image:
            embeds, read = [self.embed_image[index], *embeds], [image, *read]
        pool = partial(F.adaptive_avg_pool2d, output_size=size)
        parts = [
            embed(pool(x)) if self.pool_first else pool(embed(x))
            for embed, x in zip(embeds, read, strict=True)
        ]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def maps_of(state: State) -> list[Any]:
    """Return the maps of a state, and its tokens with their size; of a nest of sizes the same.

    Raises:
        ValueError: There is something else in it, or nothing.
    """
    maps: list[Any] = []
    replaced_maps(state, maps.append)
    if not maps:
        raise ValueError(f'{VALID_STATES}, got an empty {type(state).__name__}')
    return maps


def replaced_maps(state: State, change: Callable[[Any], Any]) -> State:
    """Return a state with its maps or tokens changed, in the order of :func:`maps_of`.

    Raises:
        ValueError: There is something else in it.
    """
    if _is_map(state) or _is_tokens(state):
        return change(state)
    if isinstance(state, Mapping):
        return {
            name: value if name in NO_BRANCHES else replaced_maps(value, change)
            for name, value in state.items()
        }
    if isinstance(state, (list, tuple)) and not isinstance(state, torch.Size):
        return type(state)(replaced_maps(value, change) for value in state)
    raise ValueError(f'{VALID_STATES}, got {_describe(state)}')


def as_map(value: Any) -> Tensor:
    """Return a map, or the map of tokens, ``(B, C, H, W)``."""
    if isinstance(value, Tensor):
        return value
    tokens, (height, width) = value
    return tokens[:, -height * width :].transpose(1, 2).unflatten(2, (height, width))


def _plus(value: Any, addition: Tensor) -> Any:
    if isinstance(value, Tensor):
        return value + addition
    tokens, size = value
    addition = addition.flatten(2).transpose(1, 2)
    num_class_tokens = tokens.shape[1] - addition.shape[1]
    return tokens + F.pad(addition, (0, 0, num_class_tokens, 0)), size


def _map_size(value: Any) -> tuple[int, int]:
    return (value.shape[2], value.shape[3]) if isinstance(value, Tensor) else value[1]


def _channels(size: Any) -> int:
    return size[1] if isinstance(size, torch.Size) else size[0][2]


def _num_dims(value: Any) -> int:
    if isinstance(value, torch.Size):
        return len(value)
    return value.dim() if isinstance(value, Tensor) else 0


def _is_map(value: Any) -> bool:
    return _num_dims(value) == 4


def _is_tokens(value: Any) -> bool:
    is_pair = isinstance(value, tuple) and len(value) == 2 and not isinstance(value, torch.Size)
    return is_pair and _num_dims(value[0]) == 3 and _num_dims(value[1]) == 0


def _describe(state: Any) -> str:
    if isinstance(state, (Tensor, torch.Size)):
        return f'a tensor of {_num_dims(state)} dimensions'
    return f'a {type(state).__name__}'
