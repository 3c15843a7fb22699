"""Numba's compiler, with a cache on disk in which no code of other sources is found.

Numba takes a function from its cache while the file that defines it is unchanged, also where a
function that it calls, in another file, has changed. So the cache lies in a folder that is named
after all sources of this package; that of older sources is removed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numba
from numba import njit

__all__ = ["njit"]

_PACKAGE = Path(__file__).parent
_PREFIX = "compiled-"


def _sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _use_own_cache() -> None:
    """Name the cache's folder, where this package's folder can be written to at all."""
    caches = _PACKAGE / "__pycache__"
    caches.mkdir(exist_ok=True)
    mine = caches / f"{_PREFIX}{_sources()}"
    for other in caches.glob(f"{_PREFIX}*"):
        if other != mine:
            shutil.rmtree(other, ignore_errors=True)
    numba.config.CACHE_DIR = str(mine)  # type: ignore[attr-defined]


if os.access(_PACKAGE, os.W_OK):
    _use_own_cache()
