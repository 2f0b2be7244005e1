"""Which processor or GPU a run uses, and what it can do."""

import contextlib
from collections.abc import Iterator

import torch

from digits_core.errors import EnvironmentFailure, UsageError, unknown_name

DEVICES = ("cpu", "cuda", "mps")


def default_device() -> torch.device:
    """CUDA where there is one, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def check_device(name: str) -> torch.device:
    """The named device. Raises UsageError where this machine does not have it."""
    if name not in DEVICES:
        raise unknown_name("device", name, DEVICES)
    if (name == "cuda" and not torch.cuda.is_available()) or (name == "mps" and not torch.backends.mps.is_available()):
        raise UsageError(f"this machine has no device {name}; --device {default_device().type} is there")
    return torch.device(name)


def gpu_names() -> list[str]:
    """The CUDA devices that this process may use."""
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def accelerator_count() -> int:
    """How many trials could have a device of their own: CUDA devices, or Apple's one; 0 on a CPU."""
    return torch.cuda.device_count() or int(default_device().type == "mps")


@contextlib.contextmanager
def room_for(what: str, fix: str) -> Iterator[None]:
    """Raise EnvironmentFailure, which names both, where the GPU's memory is too small for what happens inside."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EnvironmentFailure(f"the GPU's memory is too small for {what}; {fix}") from error


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware (emulation would be slower than float32)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        capability = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(capability and capability())
    return False
