"""A certificate and its key into a TLS context, from memory.

OpenSSL reads them from a file only, so it gets one that is on no disk.
"""

import os
import ssl

from signals_proxy.secret import Secret

__all__ = ["show"]


def show(context: ssl.SSLContext, certificate: str, key: Secret) -> None:
    """Have the context show a certificate, with its chain; both are texts in PEM.

    Raises ``ValueError`` if they are no certificate with the key that belongs to it, not encrypted.
    """
    pem = f"{certificate}\n{key.reveal()}".encode()
    with os.fdopen(os.memfd_create("certificate"), "wb", buffering=0) as file:
        file.write(pem)
        try:
            # Without the last, OpenSSL would ask the terminal for the password of an encrypted key.
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password="")
        except (ssl.SSLError, ValueError):
            raise ValueError("no certificate with its key") from None
