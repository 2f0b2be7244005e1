"""A classifier as C without malloc, by emx-onnx-cgen; compiled on this machine, run, measured."""

import os
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from emx_onnx_cgen.compiler import Compiler, CompilerOptions

from digits_core.errors import EnvironmentFailure

NAME = "digits_model"
FLAGS = ("-std=c99", "-Os", "-ffp-contract=off", "-Wall", "-Wno-unused", "-Wno-unused-function")
TIMEOUT_SECONDS = 1_800

HEADER = """/* Reads one handwritten digit. No memory is allocated; the temporaries lie on the stack. */
#ifndef DIGITS_MODEL_H
#define DIGITS_MODEL_H
/* image: {side} x {side}, row by row, 0 for paper and 1 for ink. probabilities: of the digits 0 to 9. */
void {name}(const float image[1][1][{side}][{side}], float probabilities[1][10]);
#endif
"""
HARNESS = """#include <stdio.h>
#include "{name}.h"
int main(void) {{
    static unsigned char bytes[{side} * {side}];
    static float image[1][1][{side}][{side}], probabilities[1][10];
    while (fread(bytes, 1, sizeof bytes, stdin) == sizeof bytes) {{
        for (int i = 0; i < {side} * {side}; i++) image[0][0][i / {side}][i % {side}] = (float)bytes[i] / 255.0f;
        {name}(image, probabilities);
        fwrite(probabilities, sizeof(float), 10, stdout);
    }}
    return 0;
}}
"""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Bytes of the compiled model. compiler: what measured them."""

    flash: int  # code and constants
    ram: int  # static variables and the deepest stack
    compiler: str


def to_c(content: bytes) -> str:
    """C99 source of an ONNX graph for batches of one, weights inside, without malloc."""
    options = CompilerOptions(model_name=NAME, large_temp_threshold_bytes=0, large_weight_threshold=0)
    source: str = Compiler(options).compile(onnx.load_from_string(content))
    if re.search(r"\b(malloc|calloc|realloc|alloca)\s*\(", source):
        raise EnvironmentFailure("the generated C asks for memory; this model cannot be exported as C")
    return source


def header(side: int) -> str:
    """What a program that uses it includes."""
    return HEADER.format(name=NAME, side=side)


def compiler_of() -> str:
    """The C compiler of this machine. Raises EnvironmentFailure where there is none."""
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None:
        raise EnvironmentFailure("no C compiler is installed: the C source cannot be checked (Debian: apt install gcc)")
    return found


def answers(source: str, side: int, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(N, 10) of the compiled source for uint8 (N, side, side)."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / f"{NAME}.c").write_text(source)
        (place / f"{NAME}.h").write_text(header(side))
        (place / "main.c").write_text(HARNESS.format(name=NAME, side=side))
        # For speed: this is checked, what is measured is compiled for size.
        files = [f"{NAME}.c", "main.c", "-lm", "-o", "model"]
        _run([compiler_of(), "-std=c99", "-O2", "-ffp-contract=off", *files], place)

        def said(some: npt.NDArray[np.uint8]) -> bytes:
            return subprocess.run(  # noqa: S603 - our own program, in our own folder
                [str(place / "model")], input=some.tobytes(), capture_output=True, check=True, timeout=TIMEOUT_SECONDS
            ).stdout

        count = os.cpu_count() or 1
        with ThreadPoolExecutor(count) as pool:
            everything = b"".join(pool.map(said, np.array_split(images, count)))
    return np.frombuffer(everything, np.float32).reshape(-1, 10)


def footprint(source: str) -> Footprint:
    """Flash and RAM, for an ARM microcontroller where its compiler is installed, else for this machine."""
    arm = shutil.which("arm-none-eabi-gcc")
    compiler = arm or compiler_of()
    target = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"] if arm else []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / f"{NAME}.c").write_text(source)
        _run([compiler, *FLAGS, *target, "-fstack-usage", "-c", f"{NAME}.c"], place)
        size = _run([shutil.which("arm-none-eabi-size") or "size", f"{NAME}.o"], place).splitlines()[1].split()
        stacks = [int(line.split("\t")[1]) for line in (place / f"{NAME}.su").read_text().splitlines()]
    text, data, bss = (int(value) for value in size[:3])
    deepest = sum(sorted(stacks)[-2:])  # the model calls one layer at a time
    return Footprint(flash=text + data, ram=data + bss + deepest, compiler="ARM Cortex-M4" if arm else "this machine")


def _run(command: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - a compiler by its full path, on files that we wrote
            command, cwd=folder, capture_output=True, text=True, check=True, timeout=TIMEOUT_SECONDS
        )
    except (subprocess.CalledProcessError, OSError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise EnvironmentFailure(f"the C compiler failed: {said.strip().splitlines()[0]}") from error
    return done.stdout
