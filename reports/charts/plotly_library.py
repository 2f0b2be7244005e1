"""How a page gets Plotly: packed inside it, from a file beside it, or from Plotly's CDN."""

import base64
import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Literal

from plotly.offline import get_plotlyjs, get_plotlyjs_version

PlotlyMode = Literal["inline", "directory", "cdn"]
LIBRARY_FILE = "plotly.min.js"
CDN = "https://cdn.plot.ly"


@dataclass(frozen=True, kw_only=True)
class Library:
    """What a page needs in order to load Plotly."""

    packed: str = ""  # base64 of gzip: 2.0 MB instead of 4.8 MB
    source_url: str = ""
    integrity: str = ""
    script_sources: tuple[str, ...]  # for the page's Content-Security-Policy


@cache
def library_source() -> str:
    """plotly.min.js, as bundled with the Python package."""
    return str(get_plotlyjs())


def source_hash(source: str) -> str:
    """The hash by which a Content-Security-Policy allows exactly this script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def plotly_library(mode: PlotlyMode) -> Library:
    """inline: one file, no network. directory: plotly.min.js beside the page. cdn: from the network, pinned by hash."""
    source = library_source()
    if mode == "directory":
        return Library(source_url=LIBRARY_FILE, script_sources=("'self'", "file:"))
    if mode == "cdn":
        url = f"{CDN}/plotly-{get_plotlyjs_version()}.min.js"
        return Library(source_url=url, integrity=source_hash(source), script_sources=(CDN,))
    return Library(packed=_packed(source), script_sources=(f"'{source_hash(source)}'",))


@cache
def _packed(source: str) -> str:
    return base64.b64encode(gzip.compress(source.encode(), compresslevel=6, mtime=0)).decode()
