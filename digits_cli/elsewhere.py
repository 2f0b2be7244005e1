"""`--runs s3://BUCKET/FOLDER`: a command works in a local copy, which is brought up to date before and sent after."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from digits_core.errors import EnvironmentFailure


@contextlib.contextmanager
def runs_at_hand(runs: Path, say: Callable[[str], None]) -> Iterator[Path]:
    """The folder to work in: this one, or the local copy of what lies in an object store.

    Whatever ends the command, what it has changed is sent. Raises UsageError and EnvironmentFailure as
    digits_core.remote.object_store does; where it cannot be sent, the copy keeps it for the next command.
    """
    from digits_core.remote.mirror import Mirror

    mirror = Mirror.of(runs)
    if mirror is None:
        yield runs
        return
    aside = mirror.pull()
    if aside:
        say(f"set aside {len(aside)} files that another machine has overtaken, below {mirror.folder / '.mirror/aside'}")
    try:
        yield mirror.folder
    except BaseException:  # what ended the command is what counts, and what has to be said
        try:
            mirror.push()
        except EnvironmentFailure as error:
            say(f"not sent: {error}")
        raise
    mirror.push()
