"""A write that has begun is finished, whoever leaves meanwhile."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["uninterrupted"]

T = TypeVar("T")


async def uninterrupted(write: Coroutine[Any, Any, T]) -> T:
    """Return what ``write`` returns, also if this task is cancelled before.

    A client that leaves cancels its handler. In the middle of a write that would leave it to
    chance whether the account was changed, or a message sent, and the audit line could not tell. It
    is bounded, by the registry's time-outs or the deadline of deliveries. So a cancellation that comes meanwhile is dropped, the call
    ends as if the client were still there, and only the answer finds nobody. A server that stops
    waits for its handlers before it cancels them, and gets the same: the client has its answer.
    """
    task = asyncio.ensure_future(write)
    this = asyncio.current_task()
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            if this is not None:
                this.uncancel()
    return task.result()
