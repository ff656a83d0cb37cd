"""The fixed-width values of SGX and TDX, each its own type so that two of one width are never interchanged.

Widths: Intel SDM volume 3D (SECS, REPORT), Intel TDX module ABI specification (TDREPORT), and the quote layouts in
Intel's "SGX ECDSA QuoteLibReference DCAP API" appendix A and "TDX DCAP Quoting Library API" appendix A.
"""

from __future__ import annotations

from ambergate.core.octets import Octets


class MrEnclave(Octets):
    """SHA-256 of the enclave's build log: what was loaded, and where."""

    __slots__ = ()

    WIDTH = 32


class MrSigner(Octets):
    """SHA-256 of the modulus (little-endian) of the key that signed the enclave."""

    __slots__ = ()

    WIDTH = 32


class ReportData(Octets):
    """64 bytes that the reporting enclave or TD chose; compared whole."""

    __slots__ = ()

    WIDTH = 64


class CpuSvn(Octets):
    """Opaque security version of the processor and its microcode, as in a REPORT."""

    __slots__ = ()

    WIDTH = 16


class Attributes(Octets):
    """SGX ATTRIBUTES: 8 bytes of flags, then 8 bytes of XFRM."""

    __slots__ = ()

    WIDTH = 16

    DEBUG = 0x02

    @property
    def debug(self) -> bool:
        """The enclave was built for debugging: its memory is readable from outside."""
        return bool(self.value[0] & self.DEBUG)


class Fmspc(Octets):
    """Family-Model-Stepping-Platform-CustomSKU: which TCB info speaks of this platform."""

    __slots__ = ()

    WIDTH = 6


class PceId(Octets):
    """Identity of the provisioning certification enclave, two bytes as in the PCK certificate."""

    __slots__ = ()

    WIDTH = 2


class Ppid(Octets):
    """Platform provisioning id. Identifies one machine; handle it as personal data."""

    __slots__ = ()

    WIDTH = 16


class PlatformInstanceId(Octets):
    """Identity of one platform instance (multi-package platforms)."""

    __slots__ = ()

    WIDTH = 16


class QeVendorId(Octets):
    """Vendor of the quoting enclave."""

    __slots__ = ()

    WIDTH = 16


class Measurement384(Octets):
    """A SHA-384 measurement of TDX."""

    __slots__ = ()

    WIDTH = 48


class MrTd(Measurement384):
    """Measurement of the TD's initial contents."""

    __slots__ = ()


class MrSeam(Measurement384):
    """Measurement of the TDX module."""

    __slots__ = ()


class MrSignerSeam(Measurement384):
    """Signer of the TDX module; zero for Intel's."""

    __slots__ = ()


class Rtmr(Measurement384):
    """A run-time extendable measurement register of a TD."""

    __slots__ = ()


class TdAttributes(Octets):
    """TD ATTRIBUTES, 8 bytes."""

    __slots__ = ()

    WIDTH = 8

    @property
    def debug(self) -> bool:
        """Bit 0 (TUD.DEBUG): the TD runs under debug and keeps no secret."""
        return bool(self.value[0] & 0x01)


class TeeTcbSvn(Octets):
    """Security versions of the TDX module and its companions, one byte each."""

    __slots__ = ()

    WIDTH = 16
