"""What signals mean: one file, one protocol.

The folder is the registry. A module here that declares `PROTOCOL` is a protocol; nothing has to be edited
elsewhere, and the modules do not know each other.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from optout.protocol import Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


def _scan() -> dict[str, Protocol]:
    """Import every module of this folder and collect what it declares, by name."""
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    declared = [module.PROTOCOL for module in modules if isinstance(getattr(module, "PROTOCOL", None), Protocol)]
    return {protocol.name: protocol for protocol in sorted(declared, key=lambda protocol: protocol.name)}


PROTOCOLS: Mapping[str, Protocol] = _scan()
