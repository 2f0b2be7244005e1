"""What an export is: what was asked for, how the file answers, what was written."""

from dataclasses import dataclass
from pathlib import Path

from digits_core.delivery.c_source import Footprint
from digits_core.errors import UsageError, unknown_name

FORMATS = ("onnx", "torchscript", "c")


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What was asked for. takes_bytes: the preprocessing is inside."""

    format: str = "onnx"
    int8: bool = False
    takes_bytes: bool = False
    max_flash: int | None = None  # bytes

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise unknown_name("format", self.format, FORMATS)
        if self.int8 and self.format == "torchscript":
            raise UsageError("--int8 is for onnx and c; leave it out, or choose --format onnx")
        if self.int8 and self.takes_bytes:
            raise UsageError("--int8 and --preprocess cannot be had at once; leave one out")
        if self.takes_bytes and self.format == "c":
            raise UsageError("--preprocess is for onnx and torchscript: the C source takes images of the model's size")
        if self.max_flash is not None and self.format != "c":
            raise UsageError("--max-flash is for --format c")


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The file's answers beside torch's, in single precision, on all test images."""

    n: int
    disagreements: int
    largest_difference: float  # of a probability
    error_count: int  # of the file
    torch_error_count: int
    p_value: float  # McNemar's exact test of the two


@dataclass(frozen=True, kw_only=True)
class Export:
    """What was written. seconds: for so many images, of the file and of torch, side by side; None for C."""

    model: str
    config: ExportConfig
    folder: Path
    files: tuple[Path, ...]
    parity: Parity
    seconds: tuple[float, float] | None
    footprint: Footprint | None
