"""A session that is made when it is first used, so that the program does not wait for its imports."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from ambergate.cli._telling import now

if TYPE_CHECKING:
    from ambergate.client.ports import EvidenceSource
    from ambergate.client.session import Session
    from ambergate.client.settings import Settings


def session(settings: Settings, source: EvidenceSource) -> Session:
    """A session on the system's clock and randomness."""
    from ambergate.client.session import Session

    return Session(settings, source, now=now, token_bytes=os.urandom)


class LateSession:
    """A session that is made when it is first used: its imports (TLS, HTTP) do not delay the program's start."""

    def __init__(self, settings: Settings, source: EvidenceSource) -> None:
        self._settings = settings
        self._source = source
        self._lock = threading.Lock()
        self._session: Session | None = None

    def token(self, *asked: object) -> str:
        """As `Session.token`."""
        return self.session().token(*asked)  # type: ignore[arg-type]  # what the tree asks

    def secret(self, *asked: object) -> bytes:
        """As `Session.secret`."""
        return self.session().secret(*asked)  # type: ignore[arg-type]  # what the tree asks

    def session(self) -> Session:
        """The session."""
        with self._lock:
            if self._session is None:
                self._session = session(self._settings, self._source)
            return self._session

    def warm(self) -> None:
        """Do in the background, once the program runs, what its first read would wait for."""
        self.session()
        load = getattr(self._source, "load", None)  # of the software platform, which is made late too
        if load is not None:
            load()
