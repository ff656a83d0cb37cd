"""What one attempt to get a token or a secret did, told to the user by `/dev/amber/status`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Attempt:
    """Notes taken on the way: the last step begun and a few facts. Never a key, a token or a secret.

    One thread writes it; it is read when the attempt is over.
    """

    notes: dict[str, str] = field(default_factory=dict)

    def begin(self, step: str) -> None:
        """Note that this step begins: `nonce`, `quote`, `attest`, `release`, `unwrap`."""
        self.notes["step"] = step

    def note(self, name: str, value: object) -> None:
        """Note a fact; an absent or empty one is not noted. Line breaks cannot forge another line."""
        text = "" if value is None else " ".join(str(value).split())
        if text:
            self.notes[name] = text
