"""Optimizers that can update one local module without the gradients of the others."""

import torch

SEPARABLE = frozenset(
    getattr(torch.optim, name)
    for name in [
        'ASGD',
        'Adadelta',
        'Adafactor',
        'Adagrad',
        'Adam',
        'AdamW',
        'Adamax',
        'Muon',
        'NAdam',
        'RAdam',
        'RMSprop',
        'Rprop',
        'SGD',
        'SparseAdam',
    ]
    if hasattr(torch.optim, name)  # younger torch versions have more
)
"""Optimizers that update each parameter by its own gradient and state only.

LBFGS does not, nor do others' optimizers that use a norm over all gradients.
"""
