"""The command line: the only room that prints and that ends the process.

Voice: lower case and no full stop. ``signals-proxy: error: …`` says what is wrong,
``signals-proxy: hint: …`` what to do about it; both go to standard error. Exit status: 0 done,
1 failed, 2 something to change in the call, the configuration or the machine, 130 interrupted.
"""

from signals_proxy.cli.group import main

__all__ = ["main"]
