"""All accounts sealed anew with the primary key, while the proxies go on serving.

Rules of the file:

- Only what verifies is sealed again: everything else stays as somebody wrote it, and is counted.
- Nothing is remembered outside the index. What is done is seen by the key that a document names,
  so a run that was killed is gone on with by another run, and two at once do no harm.
- Each write is guarded by what was read. A conflict, or an answer that was lost, is answered by
  reading again.
- Accounts are read one by one. Whoever can write the index can make documents of megabytes, and
  several of them at once would be what decides how much memory is used.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Final

from signals_proxy.account import sealing
from signals_proxy.account.document import SEALED, SealedAccount
from signals_proxy.account.keyring import Keyring
from signals_proxy.account.ref import Ref
from signals_proxy.account.sealing import Integrity
from signals_proxy.errors import Lost, SealingError, TimedOut, UpstreamError, VersionConflict
from signals_proxy.registry.documents import Registry, Version
from signals_proxy.registry.survey import Sample, Survey

__all__ = ["Reseal"]

# Of 3 MiB at most each: together below the 100 MB that a node takes in one request.
_BATCH: Final = 25
_TRIES: Final = 3
_PASSES: Final = 5

Progress = Callable[[int, int], None]


class Reseal:
    """One run. Its counters are right at any moment, also once it has failed.

    ``resealed`` accounts were sealed anew by this run. In the last pass ``changed`` ones were being
    changed each time that they were tried, and ``left`` ones cannot be opened, by the reason.
    ``strays`` are documents with ids that no account has.
    """

    def __init__(self, registry: Registry, survey: Survey, keyring: Keyring) -> None:
        self._registry = registry
        self._survey = survey
        self._keyring = keyring
        self.resealed = 0
        self.changed = Sample()
        self.left: defaultdict[Integrity, Sample] = defaultdict(Sample)
        self.strays = Sample()

    async def run(
        self,
        progress: Progress,
        is_stopped: Callable[[], bool],
    ) -> None:
        """Seal until a look at the index shows nothing more to seal, five times at most.

        ``progress`` is told how many of how many documents are done in the first look, the only
        long one; ``is_stopped`` is asked before each batch. Raises :class:`UpstreamError`.
        """
        for number in range(_PASSES):
            before = self.resealed
            await self._pass(progress if number == 0 else _silent, is_stopped)
            if is_stopped() or (self.resealed == before and not self.changed.count):
                return

    async def _pass(self, progress: Progress, is_stopped: Callable[[], bool]) -> None:
        self.changed, self.strays = Sample(), Sample()
        self.left.clear()
        done = 0
        async with aclosing(self._survey.not_sealed_by(self._keyring.primary.id)) as pages:
            async for page in pages:
                for batch in _batches(page.document_ids):
                    if is_stopped():
                        return
                    await self._batch(batch)
                    done += len(batch)
                    progress(done, page.total)

    async def _batch(self, document_ids: Sequence[str]) -> None:
        refs = []
        for document_id in document_ids:
            ref = Ref.of_document(document_id)
            if ref is None:
                self.strays.add(document_id)
            else:
                refs.append(ref)
        written: dict[Ref, SealedAccount] = {}
        lost: UpstreamError | None = None
        for _ in range(_TRIES):
            fresh = [found for ref in refs if (found := await self._fresh(ref, written))]
            if not fresh:
                return
            written = {sealed.ref: sealed for sealed, _ in fresh}
            try:
                outcomes = await self._registry.replace(fresh)
            except (Lost, TimedOut) as error:
                lost, refs = error, [*written]
                continue
            lost = None
            self.resealed += sum(isinstance(outcome, Version) for outcome in outcomes)
            for outcome in outcomes:
                if isinstance(outcome, UpstreamError):
                    raise outcome
            refs = [
                ref
                for ref, outcome in zip(written, outcomes, strict=True)
                if isinstance(outcome, VersionConflict)
            ]
        if lost is not None:
            raise lost
        for ref in refs:
            self.changed.add(ref.document_id)

    async def _fresh(
        self, ref: Ref, written: dict[Ref, SealedAccount]
    ) -> tuple[SealedAccount, Version] | None:
        """Return the account sealed anew and what it replaces; None if there is nothing to do.

        ``written`` is what was tried before: it may be found stored after all.
        """
        stored = await self._registry.get(ref)
        if stored is None:
            return None
        if stored.account == written.get(ref):
            self.resealed += 1
            return None
        part = stored.account.source.get(SEALED)
        if isinstance(part, dict) and part.get("key") == self._keyring.primary.id:
            return None  # somebody was faster
        try:
            return sealing.reseal(stored.account, self._keyring), stored.version
        except SealingError as error:
            self.left[Integrity.of(error)].add(ref.document_id)
            return None


def _silent(_done: int, _total: int) -> None:
    pass


def _batches(document_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(document_ids), _BATCH):
        yield document_ids[start : start + _BATCH]
