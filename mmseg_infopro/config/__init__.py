"""Configs: read, edited, made local, and resolved to boundaries before a Runner exists."""

from . import scopes

__all__ = ['scopes']
