import os
import signal

import pytest

from sweeps.signals import STOP_SIGNALS, held_interrupt, ignored_interrupt, restored_handlers, stop_as_interrupt


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_stop_signals_do_what_ctrl_c_does(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with restored_handlers():
        signal.signal(number, signal.SIG_DFL)  # the test run itself may be under nohup
        stop_as_interrupt()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_an_ignored_stop_signal_stays_ignored() -> None:
    with restored_handlers():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        stop_as_interrupt()
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_ignored_interrupts_never_count() -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with ignored_interrupt():
        for number in STOP_SIGNALS:
            os.kill(os.getpid(), number)
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_held_interrupts_count_once_the_work_is_done() -> None:
    done, before = [], signal.getsignal(signal.SIGINT)

    @held_interrupt()
    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        done.append("work")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["work"]
    with held_interrupt():
        done.append("more")
    assert done == ["work", "more"]
    assert signal.getsignal(signal.SIGINT) is before
