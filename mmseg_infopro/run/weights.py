"""The weights in a checkpoint, and whether they are those of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..config.build import has_context


def checkpoint_weights(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return a checkpoint's state dict, without the prefix that a model wrapper leaves."""
    weights = checkpoint.get('state_dict', checkpoint)
    return {name.removeprefix('module.'): weight for name, weight in weights.items()}


DUMPED = 'take the config that the run has dumped in its work dir'


def check_context(
    model_cfg: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    source: str,
    remedy: str = DUMPED,
) -> None:
    """Check that a model predicts in the contexts that its weights were trained in.

    Args:
        model_cfg: Of the model.
        weights: To be loaded into it.
        source: Where they come from, for the error.
        remedy: What the error advises.

    Raises:
        ValueError: One of the two has contexts, and the other none.
    """
    has = any(name.startswith('context.') for name in weights)
    takes = has_context(model_cfg.get('local'))
    if has != takes:
        with_and_without = ('with', 'without') if has else ('without', 'with')
        raise ValueError(
            f'the checkpoint {source} was trained {with_and_without[0]} local.context, and the '
            f'model is {with_and_without[1]}: a context changes what is predicted, so {remedy}'
        )


def check_weights_fit(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Check that every weight of a model is there; mmengine would only log what is not.

    Args:
        model: The model that the weights are to be loaded into.
        weights: They may be more than the model has.
        source: Where they come from, for the error.

    Raises:
        ValueError: Weights are missing, or of another shape.
    """
    missing, different = [], []
    for name, weight in model.state_dict().items():
        if name not in weights and not name.endswith('num_batches_tracked'):
            missing.append(name)
        elif name in weights and weights[name].shape != weight.shape:
            shapes = tuple(weights[name].shape), tuple(weight.shape)
            different.append(f'{name} is {shapes[0]} in it and {shapes[1]} in the model')
    problems = []
    if missing:
        problems.append(f"it lacks {len(missing)} of the model's weights, first {missing[0]}")
    if different:
        problems.append(f'{len(different)} weights have another shape, first {different[0]}')
    if problems:
        raise ValueError(
            f'the checkpoint {source} does not fit the model of the config: {"; ".join(problems)}'
        )
