"""Lets configs inherit from ``mmseg::`` and ``mmseg_infopro::``, however both were installed.

mmengine resolves such a base through a table from module names to distribution names. The table
sends ``mmseg`` to the distribution ``mmsegmentation``, which OneDL's is not called, and it does not
know this package. A module name is as good as a distribution name there, in editable
installations too, so both modules simply stand for themselves.

Importing this module changes the table; importing it again changes nothing.
"""

from mmengine.config.utils import MODULE2PACKAGE

MODULE2PACKAGE.update(mmseg='mmseg', mmseg_infopro='mmseg_infopro')
