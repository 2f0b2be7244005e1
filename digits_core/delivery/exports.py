"""The options and the result of an export, as plain values."""

import re
from dataclasses import dataclass
from pathlib import Path

from digits_core.errors import UsageError, unknown_name

CARD = "README.md"  # the model card, by the name under which the hub shows it
FORMATS = ("onnx", "torchscript", "c")
LICENCE = re.compile(r"[a-z0-9][a-z0-9.\-]{0,59}")


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Size of the compiled model in bytes. `compiler`: the target that it was compiled for."""

    flash: int  # code and constants
    ram: int  # static variables and the largest stack use
    compiler: str


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """The options of an export. Raises UsageError for options that exclude each other."""

    format: str = "onnx"
    int8: bool = False
    takes_bytes: bool = False  # preprocessing is part of the model
    max_flash: int | None = None  # bytes
    licence: str = "unknown"  # as the hub names it; for the model card

    def __post_init__(self) -> None:
        if not LICENCE.fullmatch(self.licence):
            raise UsageError(f"--license takes a name such as apache-2.0, mit or cc-by-4.0, got {self.licence!r}")
        if self.format not in FORMATS:
            raise unknown_name("format", self.format, FORMATS)
        if self.int8 and self.format == "torchscript":
            raise UsageError("--int8 is for onnx and c; leave it out, or choose --format onnx")
        if self.int8 and self.takes_bytes:
            raise UsageError("--int8 and --preprocess cannot be combined; leave one out")
        if self.takes_bytes and self.format == "c":
            raise UsageError("--preprocess is for onnx and torchscript: the C source takes images of the model's size")
        if self.max_flash is not None and self.format != "c":
            raise UsageError("--max-flash is for --format c")


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The file's predictions against torch's in single precision, on all test images."""

    n: int
    disagreements: int  # images with different predictions
    largest_difference: float  # between two probabilities
    error_count: int  # the file's
    torch_error_count: int
    p_value: float  # McNemar's exact test between the two


@dataclass(frozen=True, kw_only=True)
class Export:
    """What was written. `seconds`: of the file and of torch for the same images (up to 1,000); None for C."""

    model: str
    config: ExportConfig
    folder: Path
    files: tuple[Path, ...]
    parity: Parity
    seconds: tuple[float, float] | None
    footprint: Footprint | None
