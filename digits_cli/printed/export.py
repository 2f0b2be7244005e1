"""What `digits export` prints."""

import dataclasses
from typing import Any

from digits_core.delivery.exports import Export


def export_document(result: Export) -> dict[str, Any]:
    """What `export --json` prints."""
    return {
        "model": result.model,
        "format": result.config.format,
        "int8": result.config.int8,
        "folder": str(result.folder),
        "files": [{"path": str(path), "bytes": path.stat().st_size} for path in result.files],
        "parity": dataclasses.asdict(result.parity),
        "seconds": result.seconds and {"file": result.seconds[0], "torch": result.seconds[1], "images": 1_000},
        "footprint": result.footprint and dataclasses.asdict(result.footprint),
    }


def export_lines(result: Export) -> list[tuple[str, str]]:
    """The same for people."""
    parity = result.parity
    lines = [("model", result.model)]
    lines += [("file", f"{path} ({path.stat().st_size / 1024:,.0f} KB)") for path in result.files]
    lines.append(
        (
            "check",
            f"{parity.disagreements} of {parity.n:,} answers differ from torch's, probabilities by at most"
            f" {parity.largest_difference:.2g}",
        )
    )
    if result.config.int8:
        cost = f"{parity.error_count} wrong, {parity.torch_error_count} in single precision"
        lines.append(("int8 costs", f"{cost} (McNemar p {parity.p_value:.2g})"))
    if result.seconds is not None:
        ours, torch_seconds = (1e3 * each for each in result.seconds)
        lines.append(("speed", f"{ours:.0f} ms for 1,000 images, torch {torch_seconds:.0f} ms, side by side"))
    if result.footprint is not None:
        size = result.footprint
        sizes = f"{size.flash / 1024:.1f} KB of flash, {size.ram / 1024:.1f} KB of RAM"
        lines.append(("footprint", f"{sizes} (compiled for {size.compiler})"))
    lines.append(("next", f"cat {result.folder / 'README.md'}"))
    return lines
