"""What the commands that use an account have in common: how long they wait, and what failed.

Rule of the file: a failure is told by its step and its reason, which are of closed sets, so that
scripts can go by them; and nothing of it is believed to be fit for a terminal.
"""

import json
from typing import Final

from signals_proxy.cli.account_file import told
from signals_proxy.cli.remote import Answer
from signals_proxy.cli.voice import shown

__all__ = ["FAILURES", "PATIENCE_S", "failure", "member"]

FAILURES: Final = frozenset({403, 424, 429, 502, 503, 504})
"""Statuses that say something of one account or one message, beside those of every call."""

PATIENCE_S: Final = 600.0
"""How long an answer is waited for: how long a delivery may take is a setting of the proxy's."""


def failure(answer: Answer) -> str:
    """Say in one line what is wrong, with the step and the reason of a failed delivery first."""
    step, reason = member(answer, "step"), member(answer, "reason")
    place = f"{step}: {reason}: " if step and reason else ""
    said = answer.body.get("answer")
    heard = f" {shown(json.dumps(said, ensure_ascii=False))}" if isinstance(said, dict) else ""
    details = "; ".join(f"{name}: {error}" for name, error in told(answer.body.get("detail")))
    return f"{place}{details or answer.error}{heard}"


def member(answer: Answer, name: str) -> str:
    """Return a text of an answer, fit to be shown; nothing if there is none."""
    found = answer.body.get(name)
    return shown(found) if isinstance(found, str) else ""
