"""An exported ONNX file that reads images by itself: with onnxruntime, without torch and without its run."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from digits_core.data.digits import CLASS_COUNT
from digits_core.errors import EnvironmentFailure, UsageError, shortened

INPUT, OUTPUT = "image", "probabilities"
FILE_NAME = "model.onnx"
CHUNK = 500  # images per batch
PREFIX = "digits."  # of our keys among the file's metadata
LARGEST_FILE = 2**30  # bytes
LARGEST_SIDE = 256  # pixels; a larger one is no digit classifier's


@dataclass(frozen=True, kw_only=True)
class Label:
    """What an exported file says of itself, in its metadata. Files made elsewhere have none."""

    model: str
    dataset: str
    data_checksum: str
    side: int
    members: int
    poses: int = 1  # how often each network is asked about an image: more than once with test-time augmentation

    def as_metadata(self) -> dict[str, str]:
        """As ONNX keeps it: texts by name."""
        return {PREFIX + name: str(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, kw_only=True)
class OnnxModel:
    """A model as `digits predict` and `digits serve` take it. Probabilities are those of the file, as exported."""

    name: str
    dataset: str
    data_checksum: str | None  # of the data set it was trained on; None for a file made elsewhere
    side: int
    member_count: int
    pose_count: int
    takes_bytes: bool
    content: bytes
    session: onnxruntime.InferenceSession

    def finite(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Probabilities (N, 10). images: uint8 (N, side, side), bright ink on a dark background.

        Raises EnvironmentFailure if the file does not output probabilities.
        """
        try:
            said = probabilities(self.session, images, takes_bytes=self.takes_bytes)
        except Exception as error:  # see `open_onnx`
            raise EnvironmentFailure(f"{self.name} cannot be run on its images: {_first_line(error)}") from error
        if said.shape != (len(images), CLASS_COUNT):
            raise EnvironmentFailure(f"{self.name} outputs {said.shape} for {len(images)} images, not ten figures each")
        # Written so that it fails for NaN.
        if len(said) and not (said.min() >= -1e-3 and np.abs(said.sum(axis=1) - 1).max() < 1e-2):
            raise EnvironmentFailure(
                f"{self.name} does not output probabilities of ten digits; export a model with digits export"
            )
        return said.astype(np.float64)

    @contextlib.contextmanager
    def on_one_thread(self) -> Iterator["OnnxModel"]:
        """The same model on one thread, for as long as the context lasts."""
        yield replace(self, session=session(self.content, threads=1))


def session(content: bytes, threads: int = 0) -> onnxruntime.InferenceSession:
    """An onnxruntime session on the CPU; with `threads` 0 onnxruntime chooses how many."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what is wrong with a file is said by the exception
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def probabilities(
    ready: onnxruntime.InferenceSession, images: npt.NDArray[np.uint8], *, takes_bytes: bool
) -> npt.NDArray[np.float32]:
    """Probabilities, (N, 10), for images, uint8 (N, H, W)."""
    (first,) = ready.get_inputs()
    name, output = first.name, ready.get_outputs()[0].name
    at_a_time = first.shape[0] if isinstance(first.shape[0], int) else CHUNK
    chunks = [np.zeros((0, CLASS_COUNT), np.float32)]
    for start in range(0, len(images), at_a_time):
        chunk = images[start : start + at_a_time, None]
        chunks.append(
            ready.run([output], {name: chunk if takes_bytes else chunk.astype(np.float32) / np.float32(255)})[0]
        )
    return np.concatenate(chunks)


def onnx_path(selector: str | None) -> Path | None:
    """The ONNX file that `--model` names, itself or by the folder it was exported to; None if it names a stored run."""
    if selector is None:
        return None
    if selector.lower().endswith(".onnx"):
        return _at_home(selector)
    inside = _at_home(selector) / FILE_NAME
    return inside if "/" in selector and inside.is_file() else None


def open_onnx(path: Path) -> OnnxModel:
    """Raises EnvironmentFailure if the file cannot be read, UsageError if it is no classifier of ten digits."""
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is not a file")
        if path.exists() and path.stat().st_size > LARGEST_FILE:
            raise UsageError(f"{path} is larger than {LARGEST_FILE // 2**20:,} MB: no classifier of digits is")
        content = path.read_bytes()
    except OSError as error:
        raise EnvironmentFailure(f"cannot read {path}: {error.strerror}") from error
    try:
        ready = session(content)
    except Exception as error:  # onnxruntime has a dozen kinds, none of them public
        raise EnvironmentFailure(
            f"{path} is not an ONNX file that onnxruntime can run: {_first_line(error)}"
        ) from error
    said = ready.get_modelmeta().custom_metadata_map
    takes_bytes, side = _input_of(ready, path, said)
    name = _one_line(said.get(f"{PREFIX}model", path.stem))
    return OnnxModel(
        name=f"{name} ({path.parent.name}/{path.name})" if path.parent.name else f"{name} ({path.name})",
        dataset=_one_line(said.get(f"{PREFIX}dataset", "unknown data")),
        data_checksum=said.get(f"{PREFIX}data_checksum"),
        side=side,
        member_count=_whole(said.get(f"{PREFIX}members")) or 1,
        pose_count=_whole(said.get(f"{PREFIX}poses")) or 1,
        takes_bytes=takes_bytes,
        content=content,
        session=ready,
    )


def _input_of(ready: onnxruntime.InferenceSession, path: Path, said: Mapping[str, str]) -> tuple[bool, int]:
    """Whether it takes bytes, and the side of its images in pixels. Raises UsageError if it takes something else."""
    inputs, outputs = ready.get_inputs(), ready.get_outputs()
    shape: list[Any] = list(inputs[0].shape) if len(inputs) == 1 else []
    kind = {"tensor(float)": False, "tensor(uint8)": True}.get(inputs[0].type if inputs else "")
    known = _whole(said.get(f"{PREFIX}side"))
    fixed = shape[2] if len(shape) == 4 and shape[2] == shape[3] and isinstance(shape[2], int) else None
    side = fixed or known
    answers = list(outputs[0].shape) if outputs else []
    is_float = bool(outputs) and outputs[0].type == "tensor(float)"
    if kind is None or len(shape) != 4 or shape[1] != 1 or not is_float or answers[1:] != [CLASS_COUNT]:
        raise UsageError(
            f"{path} does not take images (N, 1, height, width) and output (N, 10), as files of digits export do"
        )
    if not isinstance(side, int) or not 1 <= side <= LARGEST_SIDE:
        raise UsageError(f"{path} does not say how large its images are; use a file from digits export")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise UsageError(f"{path} takes exactly {shape[0]} images at a time; use a file from digits export")
    return kind, side


def _at_home(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # a home folder of nobody: there is no such file
        return Path(text)


def _first_line(error: Exception) -> str:
    return _one_line(str(error).partition("\n")[0]) or type(error).__name__


def _one_line(text: str) -> str:
    return shortened(" ".join(text.split()), 200)


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 7 else None
