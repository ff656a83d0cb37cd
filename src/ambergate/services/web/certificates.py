"""The certificate that new connections are shown, replaced while the service runs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ambergate.core.errors import SettingsError
from ambergate.services.web.tls import server_context

if TYPE_CHECKING:
    import ssl

    from ambergate.services.web.tls import TlsFiles


class Certificates:
    """A context for the listener, whose connections get the newest certificate that could be used.

    A changed pair of files is first loaded into a context of its own, certificate against key, and shown only if that
    succeeds. Connections that there are keep theirs.

    Args:
        files: the first certificate and key.

    Raises:
        SettingsError: they cannot be used.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._seen = _digest(files)
        # What the event loop holds cannot be exchanged; what it shows is chosen at the client's hello. OpenSSL asks for
        # that choice whether or not the client names a server.
        self.context = server_context(files)
        self._shown = self.context
        self.context.sni_callback = self._choose

    def replace(self, files: TlsFiles) -> None:
        """Show these to new connections.

        Raises:
            SettingsError: they cannot be used; the old ones stay.
        """
        digest = _digest(files)
        self._shown = server_context(files)
        self._files, self._seen = files, digest

    def refresh(self) -> bool:
        """Look at the files again; whether they were changed, and are shown from now on.

        Raises:
            SettingsError: they were changed to something that cannot be used; the old ones stay.
        """
        if _digest(self._files) == self._seen:
            return False
        self.replace(self._files)
        return True

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._shown


def _digest(files: TlsFiles) -> bytes:
    """Tells files that were changed from those that were not, however their dates are."""
    try:
        return hashlib.sha256(files.certificate.read_bytes() + b"\0" + files.key.read_bytes()).digest()
    except OSError as exc:
        seen = f"{files.certificate}, {files.key}: {exc.strerror}"
        raise SettingsError("the TLS certificate and key cannot be read", seen=seen) from exc
