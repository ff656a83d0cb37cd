"""Kinds of platforms that gave genuine evidence, and when: what a forecast of TCB statuses is made for.

A row is what machines at the same security versions have in common. Nothing in it names a machine, an enclave or a
user (ADR 0015): no PPID, no platform instance id, no certificate's serial, no measurement, no key of a caller.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from ambergate.core.errors import SettingsError, Unavailable
from ambergate.core.measurements import Fmspc, PceId
from ambergate.core.verify.forecast import PlatformKind
from ambergate.core.verify.tcb import PlatformTcb
from ambergate.stores.tables import platforms_seen as _seen
from ambergate.stores.transactions import reading, writing

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Row

MAX_KINDS: Final = 4096  # rows; beyond, what was seen longest ago goes. A family has some ten levels
WRITTEN_EVERY: Final = timedelta(minutes=1)  # at most so often per kind in a process
_FORMAT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"  # sorts as time does

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenKind:
    """A kind of platform, and when it was seen; the latter to about `WRITTEN_EVERY`."""

    kind: PlatformKind
    first_seen: datetime
    last_seen: datetime


class PlatformStore:
    """Kinds of platforms in a database. Safe to use from several threads and processes.

    Args:
        engine: the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._written: OrderedDict[PlatformKind, datetime] = OrderedDict()

    def saw(self, kind: PlatformKind, *, at: datetime) -> None:
        """Keep that such a platform gave genuine evidence now.

        Most calls write nothing: a kind is written once in `WRITTEN_EVERY`. When the database does not take it, that
        is logged, and tried again after as long: no token depends on this.
        """
        if not self._due(kind, at):
            return
        try:
            with writing(self._engine) as connection:
                _upsert(connection, kind, at.astimezone(UTC).strftime(_FORMAT))
        except (Unavailable, IntegrityError) as exc:  # the latter: another process wrote it in the same moment
            _log.warning("a platform seen was not recorded: %s", exc)

    def all(self) -> tuple[SeenKind, ...]:
        """Every kind, the one seen last first.

        Raises:
            SettingsError: what is stored is not what was written.
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            rows = connection.execute(select(_seen).order_by(_seen.c.last_seen.desc(), _seen.c.id)).all()
        return tuple(_known(row) for row in rows)

    def _due(self, kind: PlatformKind, at: datetime) -> bool:
        """Whether it is time to write this kind; if so, it is taken for written."""
        with self._lock:
            written = self._written.get(kind)
            if written is not None and timedelta() <= at - written < WRITTEN_EVERY:
                return False
            self._written[kind] = at
            self._written.move_to_end(kind)
            if len(self._written) > MAX_KINDS:
                self._written.popitem(last=False)
            return True


def _upsert(connection: Connection, kind: PlatformKind, at: str) -> None:
    values = _values(kind)
    where = _seen.c.id == values["id"]
    last = connection.scalar(select(_seen.c.last_seen).where(where))
    if last is not None:
        if last < at:
            connection.execute(update(_seen).where(where).values(last_seen=at))
        return
    connection.execute(insert(_seen).values(**values, first_seen=at, last_seen=at))
    spare = (connection.scalar(select(func.count()).select_from(_seen)) or 0) - MAX_KINDS
    if spare > 0:
        # Not the new one, whatever the clock says: it would be forgotten as soon as it came.
        oldest = select(_seen.c.id).where(_seen.c.id != values["id"]).order_by(_seen.c.last_seen).limit(spare)
        connection.execute(delete(_seen).where(_seen.c.id.in_(oldest)))


def _values(kind: PlatformKind) -> dict[str, Any]:
    tcb = kind.tcb
    values: dict[str, Any] = {
        "anchor": kind.anchor,
        "tee": kind.tee,
        "fmspc": kind.fmspc.value,
        "ca": kind.ca,
        "pce_id": kind.pce_id.value,
        "components": bytes(tcb.components),
        "pce_svn": tcb.pce_svn,
        "qe_isv_svn": tcb.qe_isv_svn,
        "tee_tcb_svn": tcb.tee_tcb_svn,
        "tee_tcb_svn2": tcb.tee_tcb_svn2,
    }
    text = json.dumps({name: value.hex() if isinstance(value, bytes) else value for name, value in values.items()})
    return {"id": hashlib.sha256(text.encode()).digest(), **values}


def _known(row: Row[Any]) -> SeenKind:
    try:
        return SeenKind(
            kind=PlatformKind(
                tee=row.tee,
                fmspc=Fmspc(row.fmspc),
                ca=row.ca,
                pce_id=PceId(row.pce_id),
                tcb=PlatformTcb(
                    components=tuple(row.components),
                    pce_svn=row.pce_svn,
                    qe_isv_svn=row.qe_isv_svn,
                    tee_tcb_svn=row.tee_tcb_svn,
                    tee_tcb_svn2=row.tee_tcb_svn2,
                ),
                anchor=row.anchor,
            ),
            first_seen=_instant(row.first_seen),
            last_seen=_instant(row.last_seen),
        )
    except (ValueError, TypeError) as exc:
        raise SettingsError(
            "the database's platforms seen are not what was written",
            seen=f"row {bytes(row.id).hex()[:16]}: {exc}",
            hint="delete the table platforms_seen: the service fills it anew",
        ) from exc


def _instant(text: str) -> datetime:
    return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
