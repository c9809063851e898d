"""The registry scope ``mmseg_infopro``: an empty child of each of mmseg's registries.

Everything of this package is registered in mmseg's own registries. But mmengine marks what comes
from an ``mmseg_infopro::`` base with ``_scope_ = 'mmseg_infopro'``, then imports this module and
looks the scope up. An empty child passes each lookup on to mmseg's registry, and from there to
mmengine's.
"""

from mmengine.registry import Registry
from mmseg import registry as mmseg_registry

# A child looks its parents up without importing what they would import first.
LOCATIONS = [
    'mmseg.datasets',
    'mmseg.engine',
    'mmseg.evaluation',
    'mmseg.models',
    'mmseg.visualization',
    'mmseg_infopro',
]

SCOPED = {
    name: Registry(parent.name, parent=parent, scope='mmseg_infopro', locations=LOCATIONS)
    for name, parent in vars(mmseg_registry).items()
    if isinstance(parent, Registry)
}
