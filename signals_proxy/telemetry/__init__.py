"""What the proxy tells about itself: the audit line of every account call."""

from signals_proxy.telemetry.audit import Audit

__all__ = ["Audit"]
