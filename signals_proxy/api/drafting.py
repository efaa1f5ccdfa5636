"""What a body makes of the stored account: the same for a PUT and for a draft that is only checked."""

from collections.abc import Mapping

from signals_proxy.account import document, schema, sealing
from signals_proxy.account import file as account_file
from signals_proxy.account.account_type import SEALED_TEXT, Account, Draft
from signals_proxy.account.body import Json
from signals_proxy.account.ref import Ref
from signals_proxy.api.rooms import Rooms
from signals_proxy.registry.documents import Stored

__all__ = ["drafted"]


def drafted(
    rooms: Rooms, ref: Ref, body: Mapping[str, Json], stored: Stored | None
) -> tuple[Draft, Account]:
    """Return what the body asks for, and the account that it makes.

    Raises :class:`InvalidAccount` with every error, those of where it leads among them.
    """
    account_type = schema.named(rooms.types, ref.type)
    before = sealing.try_open(stored.account, rooms.keyring) if stored else None
    opened = (
        account_file.open_text(body[SEALED_TEXT], rooms.keyring, ref)
        if SEALED_TEXT in body
        else None
    )
    draft = document.merge(body, before, account_type, ref, opened)
    account = account_type.validate(draft)
    rooms.sending.deliveries.require_allowed(account)
    return draft, account
