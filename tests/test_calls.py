"""Nothing calls home: under strace, commands connect to nothing but this machine."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.pictures import draw

COMMANDS = (
    ("sweep", "--trials", "2", "--max-epochs", "1", "--name", "a"),
    ("ensemble", "--top", "2"),
    ("predict", "a.png", "--explain"),
    ("export", "--model", "a", "--output", "exported"),
    ("report",),
    ("datasets", "check", "sklearn-digits"),
    ("doctor",),
    ("mcp",),  # ends with its stdin
)
ADDRESS = re.compile(r"sin6?_addr\w*[=(].*?\"([^\"]+)\"|inet_pton\(AF_INET6, \"([^\"]+)\"")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_command_connects_to_another_machine(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 7)
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "ORT_"))}
    for command in COMMANDS:
        trace = tmp_path / "trace"
        subprocess.run(
            ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-e", "signal=none", "-o", trace,
             Path(sys.executable).with_name("digits"), *command],
            cwd=tmp_path, env={**environment, "HOME": str(home)}, check=True, capture_output=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        called = {
            found.group(1) or found.group(2)
            for line in trace.read_text(errors="replace").splitlines()
            if "AF_INET" in line and (found := ADDRESS.search(line))
        }
        assert all(re.fullmatch(r"127\..*|::1|::ffff:127\..*|0\.0\.0\.0|::", address) for address in called), command
        assert command[0] != "sweep" or called  # Ray's processes talk to each other: calls are seen at all
    assert not (home / ".cache" / "Microsoft").exists()  # onnxruntime's identifier
