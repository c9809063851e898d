"""Backbones that are not cut, and why: a clear answer instead of a wrapper that does not help."""

REFUSED = {
    'VPD': 'it runs a pretrained diffusion network in one call, of which no part can be run alone',
}
"""For each, the end of the sentence "it cannot be cut into local modules: ..."."""
