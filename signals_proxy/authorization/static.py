"""The backend ``static``: users and their passwords' hashes in the configuration.

Rules of the file:

- A password is hashed in a thread, one at a time: the event loop, and so the data plane, never
  waits for it. An attempt is looked at when its turn comes, with the outcome of every one before
  it, so that many at once gain nothing.
- An unknown user and a wrong password cost the same and are told the same.
- A log-in that was right stays so while the process lives, for a reload starts another one: it is
  neither hashed again nor held up by the failures of others.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from signals_proxy.account.ref import Ref
from signals_proxy.authorization import passwords
from signals_proxy.authorization.attempts import Attempts
from signals_proxy.authorization.cache import Cache
from signals_proxy.authorization.question import Action, Caller, Identity
from signals_proxy.authorization.rights import Rights
from signals_proxy.authorization.settings import User
from signals_proxy.errors import TooManyAttempts, Unauthenticated
from signals_proxy.secret import Secret

__all__ = ["StaticUsers"]

_CHALLENGES: Final = ('Basic realm="signals_proxy", charset="UTF-8"',)
_MOST_WAITING: Final = 64
_AUTHORIZATION: Final = "authorization"
_LONGEST: Final = 2 * passwords.LONGEST + 1
"""Bytes of a name and a password, with the colon between."""


class StaticUsers:
    """Lets the ``users`` in by their passwords, to do what ``rights`` give their roles.

    There is at least one user. A wrong log-in is not looked at again for ``cache_s``. ``clock``
    tells the seconds that failed log-ins have to wait.
    """

    def __init__(
        self,
        users: Mapping[str, User],
        rights: Rights,
        cache_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._users = {passwords.normalised(name): user for name, user in users.items()}
        self._rights = rights
        hashes = [user.password_hash for user in users.values()]
        self._of_nobody = max(hashes, key=passwords.cost)
        self._cache: Cache[bool] = Cache(cache_s)
        self._right: dict[str, bytes] = {}
        self._key = secrets.token_bytes(32)
        self._attempts = Attempts()
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "log-in")
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def require(
        self, action: Action, ref: Ref | None, tenant: str | None, caller: Caller
    ) -> Identity:
        """Return the user's identity if one of his roles grants the action."""
        log_in = _log_in(caller.credentials)
        if not self._is_known(log_in):
            parts = (log_in.name, log_in.password.reveal(), caller.address)
            if not await self._cache.get(parts, lambda: self._is_right(log_in, caller.address)):
                raise _unauthenticated("The user or the password is wrong.")
        roles = self._users[log_in.name].roles
        return self._rights.require(log_in.name, roles, action, ref, tenant)

    async def _is_right(self, log_in: "_LogIn", address: str | None) -> bool:
        self._attempts.check(log_in.name, address, self._clock())
        if self._waiting >= _MOST_WAITING:
            raise TooManyAttempts("Too many log-ins are being looked at; try again in 1 s.", 1)
        self._waiting += 1
        try:
            async with self._turn:
                return self._is_known(log_in) or await self._is_right_now(log_in, address)
        finally:
            self._waiting -= 1

    async def _is_right_now(self, log_in: "_LogIn", address: str | None) -> bool:
        self._attempts.begin(log_in.name, address, self._clock())
        user = self._users.get(log_in.name)
        hashed = self._of_nobody if user is None else user.password_hash
        # Whoever leaves meanwhile has failed: the thread works on, and nobody hears of it.
        is_its = await asyncio.get_running_loop().run_in_executor(
            self._thread, passwords.verify, hashed, log_in.password
        )
        if user is None or not is_its:
            return False
        self._attempts.succeeded(log_in.name, address)
        self._right[log_in.name] = log_in.digest(self._key)
        return True

    def _is_known(self, log_in: "_LogIn") -> bool:
        """Tell whether this very log-in was found to be right before."""
        return hmac.compare_digest(self._right.get(log_in.name, b""), log_in.digest(self._key))


@dataclass(frozen=True, slots=True)
class _LogIn:
    name: str
    password: Secret

    def digest(self, key: bytes) -> bytes:
        """Return a hash that says nothing without the key; a name has no colon."""
        text = f"{self.name}:{self.password.reveal()}"
        return hashlib.blake2b(text.encode(), digest_size=32, key=key).digest()


def _log_in(credentials: tuple[tuple[str, Secret], ...]) -> _LogIn:
    """Return what ``Authorization: Basic`` says (RFC 7617).

    Raises :class:`Unauthenticated` for none, for anything else, and for any other credential field.
    """
    fields = dict(credentials)
    value = fields.pop(_AUTHORIZATION, None)
    if fields:
        names = ", ".join(sorted(fields))
        raise _unauthenticated(f"The proxy's own users cannot log in with {names}.")
    if value is None:
        raise _unauthenticated("The request carries no user and no password.")
    found = _of_basic(value)
    if found is None:
        raise _unauthenticated("Authorization has to be Basic, with a user and a password.")
    return found


def _of_basic(value: Secret) -> _LogIn | None:
    """Return None for what is not well-formed: an exception would hold what it is about."""
    scheme, _, token = value.reveal().partition(" ")
    try:
        decoded = base64.b64decode(token)
        if len(decoded) > _LONGEST:  # normalising takes the square of it
            return None
        text = passwords.normalised(decoded.decode())
    except ValueError:
        return None
    name, colon, password = text.partition(":")
    is_exact = base64.b64encode(decoded) == token.encode()  # b64decode skips what is no base64
    if scheme.lower() != "basic" or not is_exact or not colon:
        return None
    return _LogIn(name, Secret(password))


def _unauthenticated(message: str) -> Unauthenticated:
    return Unauthenticated(message, _CHALLENGES)
