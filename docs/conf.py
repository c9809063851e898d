"""Sphinx: the pages of this folder, and the reference from the package's docstrings."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

project = 'mmseg_infopro'
author = 'The mmseg_infopro authors'
copyright = author
version = release = installed_version('mmseg-infopro')

extensions = [
    'myst_nb',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx_copybutton',
]
exclude_patterns = ['_build', 'study', 'methods.json']
html_theme = 'furo'
html_title = project
pygments_style = 'friendly'
smartquotes = False  # two hyphens before an option stay what one types

myst_heading_anchors = 4
myst_enable_extensions = ['colon_fence']
nb_execution_mode = 'off'  # the notebook is run by `make campaigns`, and kept with what it printed

autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
autodoc_default_options = {'members': True, 'show-inheritance': True}
napoleon_google_docstring = True
napoleon_use_rtype = False
