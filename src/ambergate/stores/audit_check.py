"""Whether an audit log is the one that was written: quick looks for every start and commit, and the whole of it.

What each finds, and what none can: whoever holds neither the signing key nor the pinned checkpoint cannot change,
remove or move an entry unseen. Whoever can write to the database and to the pin's file can put back an older state of
both; only a checkpoint that somebody else kept (`amber audit verify --checkpoint`) shows that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import Malformed, NotIntact
from ambergate.stores.audit_rows import Nodes, last_place, read_entries, read_head
from ambergate.stores.merkle import Frontier, consistency_holds, consistency_proof, leaf_hash, subtrees

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from ambergate.stores.audit_rows import Entry, Head
    from ambergate.stores.checkpoints import Checkpoint, CheckpointKey

MAX_FAULTS: Final = 20  # that are told; one is enough to believe no more
_PROGRESS_EVERY: Final = 10_000  # entries


@dataclass(slots=True, kw_only=True)
class Finding:
    """What was found in a whole log: how many entries, which root, and everything that is wrong."""

    size: int = 0
    root: bytes = b""
    faults: list[str] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def add(self, fault: str) -> None:
        """Tell one thing more, up to `MAX_FAULTS`."""
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(fault)


def check_head(connection: Connection, head: Head, key: CheckpointKey) -> None:
    """The head is what its signed checkpoint says, and the entries end where it ends.

    Raises:
        NotIntact: they do not.
        Malformed: the checkpoint is none.
    """
    _check_signed(head, key)
    place, size = last_place(connection), head.frontier.size
    if place != size:
        raise NotIntact("the audit log does not end where it was signed", seen=f"{place} entries", wanted=f"{size}")


def follows(leaves: Sequence[tuple[int, bytes]], old: Frontier, head: Head, key: CheckpointKey) -> bool:
    """Whether this head is signed, and the entries behind a known frontier lead to it, and end there.

    They lead to it if the tree that they grow has its very peaks: whoever knows the entries needs no other proof.
    That it is not so says nothing yet: `check_head` and `check_continues` find what is wrong, if anything is.

    Args:
        leaves: place and leaf hash of all entries from the known frontier on.
        old: that frontier.
        head: as it was read.
        key: of the log.

    Raises:
        NotIntact: the head is not what was signed.
        Malformed: the checkpoint is none.
    """
    _check_signed(head, key)
    frontier = old
    for place, leaf in leaves:
        if place != frontier.size:
            return False
        frontier, _ = frontier.append(leaf)
    return frontier == head.frontier


def _check_signed(head: Head, key: CheckpointKey) -> None:
    stated = key.opened(head.note)
    if (stated.size, stated.root) != (head.frontier.size, head.frontier.root()):
        raise NotIntact(
            "the audit log's head is not what was signed",
            seen=f"{head.frontier.size} entries, root {head.frontier.root().hex()[:16]}",
            wanted=f"{stated.size} entries, root {stated.root.hex()[:16]}",
        )


def check_continues(connection: Connection, old: Checkpoint, head: Head) -> None:
    """The log under this head begins with what an earlier checkpoint stated. Reads some dozen rows.

    Raises:
        NotIntact: it does not, or is shorter.
    """
    size = head.frontier.size
    if size < old.size:
        raise NotIntact(
            "the audit log is shorter than it was",
            code="log-truncated",
            seen=f"{size} entries",
            wanted=f"{old.size} at {old.at:%Y-%m-%d %H:%M:%S}Z",
            hint="was the database put back to an older state? see docs/audit.md",
        )
    nodes = Nodes()
    consistency_proof(old.size, size, nodes.wanted)
    nodes.fetch(connection)
    proof = consistency_proof(old.size, size, nodes.node)
    if not consistency_holds(old.size, old.root, size, head.frontier.root(), proof):
        raise NotIntact(
            "the audit log is not a continuation of what it was",
            code="log-forked",
            seen=f"root {head.frontier.root().hex()[:16]} of {size} entries",
            wanted=f"one that begins with root {old.root.hex()[:16]} of {old.size} entries",
        )


def check_tail(connection: Connection, head: Head, count: int) -> None:
    """The last entries lead from the tree before them to the head's root.

    Raises:
        NotIntact: one was changed, moved or removed.
    """
    size = head.frontier.size
    start = max(size - count, 0)
    nodes = Nodes()
    before = subtrees(0, start)
    for level, index in before:
        nodes.wanted(level, index)
    nodes.fetch(connection)
    frontier = Frontier(start, tuple(nodes.node(level, index) for level, index in before))
    for entry in read_entries(connection, start, size):
        leaf = leaf_hash(entry.record.encode())
        if entry.seq != frontier.size or entry.nodes[:1] != (leaf,):
            raise NotIntact("an entry of the audit log is missing or was changed", seen=f"entry {frontier.size}")
        frontier, _ = frontier.append(leaf)
    if frontier != head.frontier:
        raise NotIntact("the audit log's last entries are not those that were signed", seen=f"{start} to {size - 1}")


def check_whole(
    connection: Connection,
    key: CheckpointKey,
    checkpoints: Sequence[str] = (),
    *,
    progress: Callable[[int], object] = lambda _count: None,
) -> Finding:
    """Every entry, every hash, the head, and every checkpoint that is given. Reads the whole log.

    Args:
        connection: a consistent view.
        key: of the log.
        checkpoints: signed notes that were kept outside of the database.
        progress: called with the number of entries looked at, now and then.

    Raises:
        NotIntact: there is no log.
    """
    head = read_head(connection)
    if head is None:
        raise NotIntact("there is no audit log in this database")
    finding = Finding()
    kept = _opened(key, [head.note, *checkpoints], finding)
    frontier = Frontier()
    roots = {0: frontier.root()}
    wanted = {checkpoint.size for checkpoint in kept}
    for entry in read_entries(connection, 0, max(head.frontier.size, last_place(connection))):
        leaf = leaf_hash(entry.record.encode())
        _check_entry(entry, leaf, finding)
        frontier, made = frontier.append(leaf)
        if finding.intact and made != entry.nodes:
            finding.add(f"the tree at entry {entry.seq} is not that of the entries before it")
        finding.size = entry.seq + 1
        if frontier.size in wanted:
            roots[frontier.size] = frontier.root()
        if len(finding.faults) >= MAX_FAULTS:
            break
        if frontier.size % _PROGRESS_EVERY == 0:
            progress(frontier.size)
    finding.root = frontier.root()
    _check_stated(kept, roots, head, finding)
    return finding


def _check_entry(entry: Entry, leaf: bytes, finding: Finding) -> None:
    expected = finding.size
    if entry.seq != expected:
        missing = f"entry {expected} is" if entry.seq == expected + 1 else f"entries {expected} to {entry.seq - 1} are"
        finding.add(f"{missing} missing")
    if entry.nodes[:1] != (leaf,):
        finding.add(f"entry {entry.seq} was changed, or is not the one that was written there")


def _opened(key: CheckpointKey, notes: Sequence[str], finding: Finding) -> list[Checkpoint]:
    kept = []
    for index, note in enumerate(notes):
        try:
            kept.append(key.opened(note))
        except (NotIntact, Malformed) as exc:
            which = "the head's checkpoint" if index == 0 else f"checkpoint {index}"
            finding.add(f"{which}: {exc.message}")
    return kept


def _check_stated(kept: Sequence[Checkpoint], roots: dict[int, bytes], head: Head, finding: Finding) -> None:
    """Each checkpoint's root is that of the entries before it."""
    for checkpoint in kept:
        found = roots.get(checkpoint.size)
        when = f"{checkpoint.at:%Y-%m-%d %H:%M:%S}Z"
        if found is None:
            finding.add(f"{checkpoint.size} entries were signed at {when}, and there are {finding.size}")
        elif found != checkpoint.root:
            finding.add(f"the first {checkpoint.size} entries are not those that were signed at {when}")
    if head.frontier.size != finding.size or head.frontier.root() != finding.root:
        finding.add(f"the head is not that of the {finding.size} entries")
