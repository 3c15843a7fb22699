"""Numba's compiler, with a cache on disk in which no code of other sources is found.

Numba takes a function from its cache while the file that defines it is unchanged, also where a
function that it calls, in another file, has changed. So the cache lies in a folder that is named
after all sources of this package that compiled functions may depend on: those that define some, and
whatever these import. That of older sources is removed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

_PACKAGE = Path(__file__).parent
_ROOT = _PACKAGE.parents[1]
_PREFIX = "compiled-"
_IMPORTED = re.compile(r"^from (placement\.engine[\w.]*) import", re.MULTILINE)


def _sources() -> str:
    """Return a name that changes with every source that compiled functions may depend on."""
    texts = {path: path.read_text() for path in sorted(_PACKAGE.rglob("*.py"))}
    wanted = [path for path, text in texts.items() if f"from {__name__} import" in text]
    for path in wanted:
        modules = _IMPORTED.findall(texts[path])
        found = (_ROOT.joinpath(*module.split(".")).with_suffix(".py") for module in modules)
        wanted += [each for each in found if each in texts and each not in wanted]
    digest = hashlib.sha256("".join(texts[path] for path in sorted(wanted)).encode())
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


def njit[F: Callable[..., Any]](**options: bool) -> Callable[[F], F]:
    """Compile a function; while it runs, other threads run, too."""
    compiler: Callable[[F], F] = numba.njit(nogil=True, **options)  # type: ignore[call-overload]
    return compiler


def bare[F: Callable[..., Any]](function: F) -> F:
    """Compile a function that allocates nothing, called from compiled functions only.

    Without numba's runtime no reference to an array is counted. That counting takes most of the
    time of a function that is handed many arrays and does little with them.
    """
    compiled: F = numba.njit(cache=True, _nrt=False)(function)  # type: ignore[call-overload]
    return compiled


if os.access(_PACKAGE, os.W_OK):
    _use_own_cache()
