"""``python -m signals_proxy``: the same as ``signals-proxy``."""

from signals_proxy.cli import main

if __name__ == "__main__":
    main()
