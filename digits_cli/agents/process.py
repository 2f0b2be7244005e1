"""A command that a server started: runs `digits`, and is interrupted as by Ctrl-C as soon as the server is gone.

The server holds the other end of this process's stdin and never writes to it. So the end of stdin means that the
server has ended, however it did.
"""

import os
import signal
import threading
import time

from digits_cli.entry import main

SECONDS_TO_END = 120.0  # after the interrupt, which keeps what is finished


def _end_with_the_server() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(SECONDS_TO_END)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    main()
