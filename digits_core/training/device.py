"""Which device (CPU or GPU) a run uses, and what it can do."""

import contextlib
from collections.abc import Iterator

import torch

from digits_core.errors import EnvironmentFailure, UsageError, unknown_name

DEVICES = ("cpu", "cuda", "mps")


def default_device() -> torch.device:
    """CUDA if available, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def check_device(name: str) -> torch.device:
    """The named device. Raises UsageError if this machine does not have it."""
    if name not in DEVICES:
        raise unknown_name("device", name, DEVICES)
    if (name == "cuda" and not torch.cuda.is_available()) or (name == "mps" and not torch.backends.mps.is_available()):
        raise UsageError(f"this machine has no {name} device; use --device {default_device().type}")
    return torch.device(name)


def gpu_names() -> list[str]:
    """The names of the CUDA devices that this process may use."""
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def accelerator_count() -> int:
    """How many trials can have a device to themselves: one per CUDA device, 1 with Apple's MPS, 0 on a CPU."""
    return torch.cuda.device_count() or int(default_device().type == "mps")


class OutOfMemory(EnvironmentFailure):
    """The memory is too small for what was asked."""


@contextlib.contextmanager
def room_for(what: str, fix: str) -> Iterator[None]:
    """Turn running out of memory, the GPU's or the machine's, into an OutOfMemory that names what did not fit."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(f"the GPU's memory is too small for {what}; {fix}") from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            raise OutOfMemory(f"the memory is too small for {what}; {fix}") from error
        raise


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware. Emulated, it would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        capability = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(capability and capability())
    return False
