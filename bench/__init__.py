"""``make bench``: the proxy beside nginx, HAProxy and Caddy, in turn, in one run.

Read ``cases`` first: what is measured. Then ``contestants`` (who runs, with the files in
``configs/``), ``upstream`` (what stands behind all of them), ``load``, ``bulk`` and ``held`` (what
comes at them), ``meters`` (what that costs), ``ratios``, ``report`` and ``plot`` (what is made of
the figures).

What it goes by:

- Only ratios count. A machine's speed changes from minute to minute, so everybody is measured in
  each of many short rounds, and a ratio is made within its round.
- What is told of a ratio is its median and its middle half.
- CPU is user and system time of all processes of a proxy, those that have ended included.
- An answer that is not what it has to be ends the run: errors are cheap.
"""
