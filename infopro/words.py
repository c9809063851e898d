"""The words that command lines know. The package takes them from here: this imports nothing."""

METHODS = (
    'infopro',
    'infopro_contrast',
    'greedy',
    'dgl',
    'predsim',
    'sequential',
    'contsup_e',
    'contsup_r1',
    'contsup_r1e',
    'pgl',
    'man',
    'manpp',
    'auglocal',
    'overlap',
    'feature_rec',
    'trgl',
    'deep_supervision',
    'e2e',
)
"""Methods that we ship; a package may add others."""
HEADS = ('fitted', 'paper')
"""Forms of InfoPro's local heads."""
RECIPES = {
    'plain': 'nothing: the step as the config has it',
    'free': 'what costs nothing; the default of what is cut',
    'lean': 'that and bandwidth: no FLOPs are spent',
    'least': 'that and FLOPs: for the smallest peak',
}
"""By recipe: when to take it."""
DEFAULT_RECIPE = 'free'
RECOMPUTE = ('none', 'cheap', 'units', 'auto')
"""What a local module computes a second time."""
DEFAULT_MARGIN = '1.25GiB'
"""What of a cap is not for tensors: what a process holds on a card outside of torch's allocator,
and what that holds besides the tensors of a dry step, as convolutions' workspaces."""
PRECISIONS = ('none', 'float16', 'bfloat16')
TTA_MODES = ('ms', 'ms-flip')
"""Augmentations of tests: several scales, and mirrored images too."""
DEVICES = ('a100', 'a100-half', 'v100', 'h100', 'h100-half')
"""Devices whose speeds are known."""
HERE = 'here'
"""The device of this machine, timed."""
LINKS = ('nvlink', 'pcie', '25gbe')
"""Links between devices."""
PLACEMENTS = ('replicate', 'pipeline')
"""Where the local modules of several processes are: all on each, or one on each."""
