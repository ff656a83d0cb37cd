"""The text of a converted manifest: the one that its user wrote, changed where it must be; or what is left of it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ambergate.core.errors import AmberError
from ambergate.graminize.edits import attempted, edited
from ambergate.graminize.masking import masked
from ambergate.graminize.template import render

if TYPE_CHECKING:
    from ambergate.graminize.convert import Conversion
    from ambergate.graminize.source import Manifest
    from ambergate.graminize.template import Surroundings


class Form(StrEnum):
    """How much of the user's text a result keeps."""

    KEPT = "kept"  # as it was written, a template a template
    RENDERED = "rendered"  # a template's result, with its comments
    REWRITTEN = "rewritten"  # what it says, without comments, in an order of its own


@dataclass(frozen=True, slots=True)
class Output:
    """A text, which says what was intended: it was parsed again and compared."""

    text: str
    form: Form


def output_of(manifest: Manifest, conversion: Conversion, surroundings: Surroundings) -> Output:
    """The text of what a manifest became.

    Args:
        manifest: as it was.
        conversion: what it is to say.
        surroundings: what it was rendered with.
    """
    after = conversion.document
    if manifest.template:
        template = _as_template(manifest, conversion, surroundings)
        if template is not None:
            return Output(template, Form.KEPT)
    result = edited(manifest.text, manifest.document, after)
    if not result.kept:
        return Output(result.text, Form.REWRITTEN)
    return Output(result.text, Form.RENDERED if manifest.template else Form.KEPT)


def _as_template(manifest: Manifest, conversion: Conversion, surroundings: Surroundings) -> str | None:
    after = conversion.document
    if manifest.document == after:
        return manifest.source
    mask = masked(manifest.source)
    if mask is None:
        return None

    def says(candidate: str) -> bool:
        try:
            return tomllib.loads(render(mask.unmasked(candidate), surroundings).text) == after
        except AmberError:
            return False

    changed = attempted(mask.text, manifest.document, after, says=says, moves=conversion.moves)
    return None if changed is None else mask.unmasked(changed)
