"""TLS as every service speaks it, from a certificate and a key in files."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

# TLS 1.2 suites, first choice first: the ECDHE-*-AES256-GCM-SHA384 pair is all that some clients offer. TLS
# 1.3 always offers TLS_AES_256_GCM_SHA384, which is all that those clients offer there.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """A server's certificate chain and private key, both PEM files."""

    certificate: Path
    key: Path


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 and 1.3, forward secrecy and authenticated encryption only.

    Raises:
        SettingsError: the files are not there, not PEM, or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as exc:
        raise SettingsError(
            "the TLS certificate and key cannot be used",
            seen=f"{files.certificate}, {files.key}: {exc}",
            wanted="a PEM chain and its unencrypted PEM key",
        ) from exc
    return context


def _no_password() -> str:
    """Called by OpenSSL for an encrypted key, so that it fails instead of asking the terminal."""
    message = "the key is encrypted"
    raise ValueError(message)
