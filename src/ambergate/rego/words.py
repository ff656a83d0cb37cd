"""Words that mean something in Rego, or in the policies of this protocol; and small questions about tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ambergate.rego.lexer import Token

KEYWORDS: Final = frozenset(
    {
        "as", "contains", "data", "default", "else", "every", "false", "if", "import", "in", "input", "not", "null",
        "package", "some", "true", "with",
    }
)  # fmt: skip
_CONSTANTS: Final = frozenset({"true", "false", "null", "input"})  # keywords that are terms

# Wire protocol, 5.3 and 5.4.
FIELDS: Final = "get_token_fields"
MATCH: Final = "match"
EXPORT: Final = "export"
ON_MATCH: Final = ("exportonmatch", "ExportOnMatch")
EXPORTS: Final = (EXPORT, *ON_MATCH)


def ends_term(token: Token) -> bool:
    """A value can end with it."""
    if token.kind == "word":
        return token.text not in KEYWORDS or token.text in _CONSTANTS
    return token.kind in ("number", "string", "raw") or token.text in ("}", "]", ")")


def call_name(tokens: tuple[Token, ...], index: int) -> str | None:
    """The dotted name that starts at `index`, as in a call; None: it is the name of a member, behind a dot."""
    if tokens[index].kind != "word" or (index and tokens[index - 1].text == "."):
        return None
    name = tokens[index].text
    while index + 2 < len(tokens) and tokens[index + 1].text == "." and tokens[index + 2].kind == "word":
        index += 2
        name += f".{tokens[index].text}"
    return name
