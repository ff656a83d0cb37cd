"""The files of an image as its program will see them: layers laid over each other, nothing unpacked.

    files = read_files(image)
    files.resolve("/usr/bin/python3"), files.read("/etc/os-release", limit=4096)

Source: OCI Image Specification 1.1, "Image Layer Filesystem Changeset" (order, whiteouts). Names that leave the image
are refused; links are followed inside it alone, and so often at most: no image reaches a file of this machine.
"""

from __future__ import annotations

import hashlib
import posixpath
import tarfile
import zlib
from dataclasses import dataclass
from enum import Enum
from typing import IO, TYPE_CHECKING, Final, Protocol, cast

from ambergate.core.errors import NotFound, SettingsError, TooLarge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ambergate.graminize.gsc.layout import Image, Layer

MAX_ENTRIES: Final = 500_000  # files, links and directories of an image; ours. A Debian image has about 5,000
MAX_UNPACKED: Final = 8 * 1024**3  # bytes of all layers, unpacked; our limit
MAX_LINKS: Final = 40  # that one name leads through (Linux, `MAXSYMLINKS`)
MAX_PATH: Final = 4096  # characters (Linux, PATH_MAX)
_CHUNK: Final = 1024 * 1024
_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"


class Kind(Enum):
    """What an entry is."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"  # a symbolic one
    OTHER = "other"  # devices, FIFOs


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of an image.

    Attributes:
        kind: what it is.
        mode: its permissions.
        size: bytes of a file.
        digest: SHA-256 of a file, hex digits.
        target: where a symbolic link leads.
        place: the number of its layer, and the name of the file there (another one's for a hard link).
    """

    kind: Kind
    mode: int = 0o755
    size: int = 0
    digest: str = ""
    target: str = ""
    place: tuple[int, str] = (0, "")


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """All names of an image, absolute and normal, with what they are."""

    entries: Mapping[str, Entry]
    layers: tuple[Layer, ...]

    def resolve(self, path: str) -> str:
        """Where a name leads, all links followed inside the image.

        Raises:
            NotFound: nowhere.
            SettingsError: through too many links.
        """
        left = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        at, links = "/", 0
        while left:
            part = left.pop()
            if part == "..":
                at = posixpath.dirname(at)
                continue
            name = posixpath.join(at, part)
            entry = self.entries.get(name)
            if entry is None:
                raise NotFound("the image has no such file", seen=path[:MAX_PATH], wanted=name)
            if entry.kind is not Kind.LINK:
                at = name
                continue
            links += 1
            if links > MAX_LINKS:
                raise SettingsError("links in the image lead in a circle", seen=path, wanted=f"at most {MAX_LINKS}")
            if entry.target.startswith("/"):
                at = "/"
            left += [part for part in reversed(entry.target.split("/")) if part not in ("", ".")]
        return at

    def find(self, path: str) -> Entry | None:
        """What a name leads to; None: nothing, or in a circle."""
        try:
            return self.entries.get(self.resolve(path))
        except (NotFound, SettingsError):
            return None

    def head(self, path: str, size: int) -> bytes:
        """The first bytes of a file, however long it is. Raises as `read`."""
        return self._content(self.resolve(path), path, size)

    def read(self, path: str, *, limit: int) -> bytes:
        """The content of a file.

        Raises:
            NotFound: there is none.
            TooLarge: it is longer than `limit`.
            SettingsError: the name leads in a circle, or to something that is no file.
        """
        name = self.resolve(path)
        size = self.entries[name].size
        if size > limit:
            raise TooLarge("a file of the image is too long", seen=f"{path}: {size} bytes", wanted=f"<= {limit}")
        return self._content(name, path, limit)

    def _content(self, name: str, path: str, size: int) -> bytes:
        entry = self.entries[name]
        if entry.kind is not Kind.FILE:
            raise SettingsError("that is no file", seen=f"{path}: a {entry.kind.value}")
        number, wanted = entry.place
        for member, stream in _members(self.layers[number], MAX_UNPACKED):
            if _normal(member.name) == wanted and member.isreg():
                return stream.read(size)
        raise NotFound("the image has no such file", seen=path)  # its layer was changed since it was read


def read_files(image: Image, *, limit: int = MAX_UNPACKED, say: Callable[[str], None] | None = None) -> ImageFiles:
    """Look through all layers of an image, and hash every file.

    Args:
        image: from `layout.read_layout`.
        limit: bytes of all layers, unpacked.
        say: told of each layer before it is read; it can take a minute.

    Raises:
        SettingsError: a layer is not a tar archive, is not what its digest says, or names something outside.
        TooLarge: more entries or bytes than our limits.
    """
    entries: dict[str, Entry] = {"/": Entry(Kind.DIRECTORY)}
    left = limit
    for number, layer in enumerate(image.layers):
        if say is not None:
            say(f"reading layer {number + 1} of {len(image.layers)}, {layer.size // 1024} KiB")
        changes = _read_layer(number, layer, left, entries)
        left -= changes.size
        _hide(entries, changes)
        for name, entry in changes.added.items():
            _put(entries, name, entry)
        if len(entries) > MAX_ENTRIES:
            raise TooLarge("the image has too many files", seen=len(entries), wanted=f"at most {MAX_ENTRIES}")
    return ImageFiles(entries=entries, layers=image.layers)


@dataclass(frozen=True, slots=True)
class _Changes:
    """What a layer does: names it adds, names it hides, directories whose content it hides; its length unpacked."""

    added: dict[str, Entry]
    hidden: set[str]
    opaque: set[str]
    size: int


def _read_layer(number: int, layer: Layer, limit: int, below: Mapping[str, Entry]) -> _Changes:
    added: dict[str, Entry] = {}
    hidden: set[str] = set()
    opaque: set[str] = set()
    size = 0
    for member, stream in _members(layer, limit):
        name = _normal(member.name)
        folder, base = posixpath.split(name)
        if base == _OPAQUE:
            opaque.add(folder)
        elif base.startswith(_WHITEOUT):
            hidden.add(posixpath.join(folder, base.removeprefix(_WHITEOUT)))
        elif member.islnk():
            target = _normal(member.linkname)
            found = added.get(target) or below.get(target)
            if found is None:
                raise SettingsError("a hard link in a layer leads nowhere", seen=f"{name} -> {target}"[:200])
            added[name] = found
        else:
            added[name] = entry = _entry(number, name, member, stream)
            size += entry.size
        if len(added) + len(hidden) + len(opaque) > MAX_ENTRIES:
            raise TooLarge("a layer has too many files", seen=f"over {MAX_ENTRIES}", wanted=f"at most {MAX_ENTRIES}")
    return _Changes(added, hidden, opaque, size)


def _entry(number: int, name: str, member: tarfile.TarInfo, stream: _Readable) -> Entry:
    mode = member.mode & 0o7777
    if member.isdir():
        return Entry(Kind.DIRECTORY, mode)
    if member.issym():
        return Entry(Kind.LINK, mode, target=member.linkname)
    if not member.isreg():
        return Entry(Kind.OTHER, mode)
    hashed, size = hashlib.sha256(), 0
    while chunk := stream.read(_CHUNK):
        hashed.update(chunk)
        size += len(chunk)
    return Entry(Kind.FILE, mode, size, hashed.hexdigest(), place=(number, name))


def _members(layer: Layer, limit: int) -> Iterator[tuple[tarfile.TarInfo, _Readable]]:
    """Each member of a layer's archive with its content; the layer is held to its digest once all of it is read.

    Raises:
        SettingsError, TooLarge: as `read_files`.
    """
    try:
        with layer.path.open("rb") as file:
            source = _Counted(file, layer.packing, limit)
            with tarfile.open(fileobj=cast("IO[bytes]", source), mode="r|") as archive:
                while (member := archive.next()) is not None:
                    archive.members = []  # type: ignore[attr-defined]  # it would keep them all
                    yield member, (archive.extractfile(member) if member.isreg() else None) or _Nothing()
            source.finish()
    except (tarfile.TarError, zlib.error, EOFError, UnicodeError, OverflowError, ValueError) as exc:
        raise SettingsError("a layer is not a tar archive", seen=f"{layer.digest}: {exc}"[:200]) from exc
    except OSError as exc:
        raise SettingsError("a layer cannot be read", seen=f"{layer.path}: {exc.strerror or exc}") from exc
    if source.digest != layer.digest:
        raise SettingsError("a layer is not what its digest says", seen=source.digest, wanted=layer.digest)


class _Readable(Protocol):
    """Content, read from front to back."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        ...


class _Counted:
    """A layer as it is read: unpacked, hashed as it is stored, and no longer than it may be."""

    def __init__(self, file: IO[bytes], packing: str, limit: int) -> None:
        self._file = file
        self._unpack = zlib.decompressobj(wbits=31) if packing else None
        self._hash = hashlib.sha256()
        self._left = limit
        self._limit = limit

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()

    def read(self, size: int) -> bytes:
        """At most `size` bytes of the archive, as many of them as there are."""
        parts, wanted = [], size
        while wanted and (part := self._some(wanted)):
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def finish(self) -> None:
        """Read what the archive left over, so that the hash is of all."""
        while self.read(_CHUNK):
            pass

    def _some(self, size: int) -> bytes:
        if self._unpack is None:
            part = self._stored(size)
        else:
            part = b""
            while not part and not self._unpack.eof:
                stored = self._unpack.unconsumed_tail or self._stored(64 * 1024)
                part = self._unpack.decompress(stored, size)
                if not stored and not part:
                    message = "it ends too early"
                    raise EOFError(message)
            if self._unpack.eof:
                while self._stored(_CHUNK):  # nothing that counts: it is hashed with the rest
                    pass
        self._left -= len(part)
        if self._left < 0:
            raise TooLarge("the image is too long, unpacked", seen=f"over {self._limit} bytes", wanted="less")
        return part

    def _stored(self, size: int) -> bytes:
        part = self._file.read(size)
        self._hash.update(part)
        return part


class _Nothing:
    """The content of what has none."""

    def read(self, size: int, /) -> bytes:
        del size
        return b""


def _normal(name: str) -> str:
    """A member's name as an absolute one.

    Raises:
        SettingsError: it would leave the image, or is no name.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name or len(name) > MAX_PATH:
        raise SettingsError(
            "a layer names a file outside the image", seen=repr(name[:120]), wanted="names without .. in them"
        )
    return "/" + "/".join(parts)


def _hide(entries: dict[str, Entry], changes: _Changes) -> None:
    """Take away what a layer hides, and what is below a directory that becomes something else."""
    replaced = {
        name
        for name, entry in changes.added.items()
        if entry.kind is not Kind.DIRECTORY and name in entries and entries[name].kind is Kind.DIRECTORY
    }
    gone, emptied = changes.hidden | replaced, changes.opaque
    if not gone and not emptied:
        return
    for name in list(entries):
        above, hides = name, name in gone
        while not hides and above != "/":
            above = posixpath.dirname(above)
            hides = above in gone or above in emptied
        if hides and name != "/":
            del entries[name]


def _put(entries: dict[str, Entry], name: str, entry: Entry) -> None:
    """Lay one entry over what is below, and make the directories above it where the layer leaves them out."""
    entries[name] = entry
    folder = posixpath.dirname(name)
    while folder not in entries:
        entries[folder] = Entry(Kind.DIRECTORY)
        folder = posixpath.dirname(folder)
