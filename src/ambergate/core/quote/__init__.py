"""Quotes as bytes and as types: `parse_quote` and `encode_quote` are exact inverses. Nothing is verified here."""

from ambergate.core.quote.codec import encode_quote, parse_quote
from ambergate.core.quote.layout import Quote, QuoteHeader, TeeType
from ambergate.core.quote.report import EnclaveReport
from ambergate.core.quote.td_report import TdReport

__all__ = ["EnclaveReport", "Quote", "QuoteHeader", "TdReport", "TeeType", "encode_quote", "parse_quote"]
