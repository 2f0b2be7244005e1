"""`--runs s3://BUCKET/FOLDER`: commands work in a local copy, updated before the command and uploaded after it."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from digits_core.errors import EnvironmentFailure


@contextlib.contextmanager
def runs_at_hand(runs: Path, say: Callable[[str], None]) -> Iterator[Path]:
    """Yield the folder to work in: `runs` itself, or the local copy of a folder in an object store.

    Changes are uploaded however the command ends. Raises UsageError and EnvironmentFailure as
    digits_core.remote.object_store does. If the upload fails, the changes stay in the copy for the next command.
    """
    from digits_core.remote.mirror import Mirror

    mirror = Mirror.of(runs)
    if mirror is None:
        yield runs
        return
    aside = mirror.pull()
    if aside:
        say(f"files changed on another machine: {len(aside)} local versions moved to {mirror.folder / '.mirror/aside'}")
    try:
        yield mirror.folder
    except BaseException:  # the error that ended the command must not be hidden by a failed upload
        try:
            mirror.push()
        except EnvironmentFailure as error:
            say(f"not uploaded: {error}")
        raise
    mirror.push()
