"""Hear that the server is told to end, whichever web server it is."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def told_to_stop(*hear: Callable[[], None]) -> Iterator[None]:
    """Call these when a signal to end arrives, and then whoever was to hear it before.

    A web server waits for its answers to end; one that has no end of its own has to know.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to the main thread only
        return
    loop = asyncio.get_running_loop()
    before = {sig: signal.getsignal(sig) for sig in STOP}

    def told(sig: int, frame: FrameType | None) -> None:
        for one in hear:
            loop.call_soon_threadsafe(one)
        previous = before[signal.Signals(sig)]
        if callable(previous):
            previous(sig, frame)

    for sig in STOP:
        signal.signal(sig, told)
    try:
        yield
    finally:
        for sig, handler in before.items():
            if signal.getsignal(sig) is told:
                signal.signal(sig, handler)
