"""What an operator does to the keys that sign tokens, in a real database: whole or not at all, on every node alike."""

from __future__ import annotations

import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import event
from tests.unit.attestation.key_scene import AT, BASE_URL, RULES, begun, same_key

from ambergate.cli import signing_key
from ambergate.core.errors import Conflict, NotAuthorised, NotFound, SettingsError, Unavailable
from ambergate.services.attestation import key_plan as plan
from ambergate.services.attestation.certificates import CRL_LIFETIME, SKEW
from ambergate.services.attestation.key_plan import LEAD, MARGIN, MAX_PUBLISHED, STANDBY_AFTER
from ambergate.services.attestation.pki import TokenPki
from ambergate.services.attestation.rotation import REASONS, KeyKeeper
from ambergate.stores.engine import open_database
from ambergate.stores.sealing import Sealer
from ambergate.stores.signing_keys import SigningMaterialStore
from ambergate.stores.token_keys import TokenKeyStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Engine

    from ambergate.stores.token_keys import TokenKey

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
SEALER = Sealer(b"k" * 32)
LATER = AT + DAY  # what stands by is known to everybody by then


def opened(engine: Engine) -> KeyKeeper:
    keeper = KeyKeeper(TokenKeyStore(engine, SEALER), BASE_URL, make=same_key)
    keeper.store.begin(lambda _: begun())
    return keeper


@pytest.fixture
def keeper(engine: Engine) -> KeyKeeper:
    """Keys as they are a day after the first start."""
    keeper = opened(engine)
    keeper.keep_up(AT + STANDBY_AFTER, RULES)
    return keeper


@pytest.fixture
def alone(sqlite: Engine) -> KeyKeeper:
    """The same, for what does not hang on the database."""
    keeper = opened(sqlite)
    keeper.keep_up(AT + STANDBY_AFTER, RULES)
    return keeper


def view(keeper: KeyKeeper, at: timedelta | None = None) -> TokenPki:
    return TokenPki(keeper.store.all(), LATER + (at or timedelta()))


def kids(pki: TokenPki) -> set[str]:
    return {str(each["kid"]) for each in pki.key_set()["keys"]}  # type: ignore[attr-defined]


def crl(pki: TokenPki, at: timedelta | None = None) -> x509.CertificateRevocationList:
    return x509.load_der_x509_crl(pki.ca_crl(LATER + (at or timedelta())))


def test_known_keys_sign_at_once_and_the_old_ones_stay_until_their_last_token_ends(keeper: KeyKeeper) -> None:
    before = view(keeper)
    started = keeper.rotate(LATER, RULES)
    assert [(key.kind, key.active_from) for key in started] == [("rsa", LATER), ("ec", LATER)]
    after = view(keeper)
    assert [after.rsa.kid, after.ec.kid] == [key.id for key in started]
    assert before.rsa.kid in kids(after)
    last = RULES.token_lifetime + MARGIN
    assert before.rsa.kid in kids(view(keeper, last - SECOND))
    assert before.rsa.kid not in kids(view(keeper, last))


def test_a_key_that_nobody_knows_yet_is_published_first(sqlite: Engine) -> None:
    keeper = opened(sqlite)
    (rsa, _) = keeper.rotate(LATER, RULES)
    assert rsa.active_from == LATER + LEAD
    assert view(keeper).rsa.kid != rsa.id
    assert rsa.id in kids(view(keeper))
    with pytest.raises(Conflict, match="under way"):
        keeper.rotate(LATER + LEAD - SECOND, RULES)
    assert view(keeper, LEAD).rsa.kid == rsa.id
    with pytest.raises(Conflict, match="under way"):
        keeper.rotate(LATER + 2 * LEAD - SECOND, RULES)
    assert keeper.rotate(LATER + 2 * LEAD, RULES)[0].active_from == LATER + 3 * LEAD


def test_no_more_keys_are_in_use_than_relying_parties_read(alone: KeyKeeper) -> None:
    """A token lives up to a day: rotated every quarter of an hour, the key set would have a hundred keys."""
    rules = replace(RULES, token_lifetime=DAY)
    at = LATER
    with pytest.raises(Conflict, match="too many keys") as caught:  # noqa: PT012  the last of several
        for _ in range(MAX_PUBLISHED + 2):
            alone.keep_up(at, rules)
            alone.rotate(at, rules)
            at += 2 * LEAD
    assert "signing-key list" in (caught.value.hint or "")
    assert len(plan.published(alone.store.all(), "rsa", at)) == MAX_PUBLISHED


def test_a_revoked_key_is_on_the_list_and_in_no_key_set_and_another_signs(keeper: KeyKeeper) -> None:
    before = view(keeper)
    done = keeper.revoke(before.rsa.kid, LATER, RULES)
    assert (done.key.revoked_at, done.key.private, done.trusted_from) == (LATER, None, None)
    assert done.successor is not None
    after = view(keeper)
    assert after.rsa.kid == done.successor.id != before.rsa.kid
    assert before.rsa.kid not in kids(after)
    assert after.ec.kid == before.ec.kid
    (line,) = crl(after)
    assert line.serial_number == x509.load_der_x509_certificate(before.rsa.chain[0]).serial_number
    assert line.revocation_date_utc == LATER
    assert line.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.key_compromise
    with pytest.raises(Conflict, match="revoked already"):
        keeper.revoke(before.rsa.kid, LATER, RULES)
    with pytest.raises(NotFound, match="no such signing key"):
        keeper.revoke("0" * 96, LATER, RULES)


def test_what_signs_after_a_revocation_may_be_unknown_to_some_and_that_is_said(sqlite: Engine) -> None:
    keeper = opened(sqlite)
    done = keeper.revoke(view(keeper).ec.kid, LATER, RULES, reason="superseded")
    assert done.successor is not None
    assert view(keeper).ec.kid == done.successor.id
    assert done.trusted_from == LATER + LEAD


def test_what_would_have_signed_next_signs_when_the_key_is_revoked(sqlite: Engine) -> None:
    keeper = opened(sqlite)
    old = view(keeper).rsa.kid
    (rsa, _) = keeper.rotate(LATER, RULES)
    done = keeper.revoke(old, LATER + SECOND, RULES)
    assert done.successor is not None
    assert (done.successor.id, done.trusted_from) == (rsa.id, LATER + LEAD)
    assert view(keeper, SECOND).rsa.kid == rsa.id


def test_a_key_that_did_not_sign_yet_is_revoked_without_a_change_of_who_signs(sqlite: Engine) -> None:
    keeper = opened(sqlite)
    before = view(keeper).rsa.kid
    (rsa, _) = keeper.rotate(LATER, RULES)
    assert keeper.revoke(rsa.id, LATER, RULES).successor is None
    for at in (timedelta(), LEAD, DAY):
        assert view(keeper, at).rsa.kid == before
    assert rsa.id not in kids(view(keeper))


def test_a_retired_key_never_signs_again(alone: KeyKeeper) -> None:
    """Not even in the minutes in which it is kept for nodes whose clocks are behind."""
    first = view(alone).rsa.kid
    alone.rotate(LATER, RULES)
    second = view(alone).rsa.kid
    alone.revoke(second, LATER + SECOND, RULES)
    assert view(alone, SECOND).rsa.kid not in {first, second}
    alone.revoke(first, LATER + 2 * SECOND, RULES, reason="superseded")
    assert {line.serial_number for line in crl(view(alone, DAY))} == {
        x509.load_der_x509_certificate(key.certificate).serial_number
        for key in alone.store.all()
        if key.id in {first, second}
    }


def test_a_revoked_ca_takes_along_all_that_it_certified(keeper: KeyKeeper) -> None:
    keeper = KeyKeeper(keeper.store, BASE_URL)  # which makes other keys each time, as it must
    before = view(keeper)
    keeper.revoke(before.ec.kid, LATER, RULES)
    signing = keeper.revoke_ca(LATER + SECOND, RULES)
    after = view(keeper, SECOND)
    assert (after.rsa.kid, after.ec.kid) == tuple(key.id for key in signing)
    assert kids(after) == {after.rsa.kid}
    leaf, ca, root = (x509.load_der_x509_certificate(each) for each in after.rsa.chain)
    old_ca = x509.load_der_x509_certificate(before.rsa.chain[1])
    assert ca.public_key() != old_ca.public_key()
    leaf.verify_directly_issued_by(ca)
    ca.verify_directly_issued_by(root)
    assert after.rsa.chain[2] == before.rsa.chain[2], "who trusts the root goes on"
    (line,) = x509.load_der_x509_crl(after.root_crl(LATER))
    assert line.serial_number == old_ca.serial_number
    assert line.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.ca_compromise
    assert list(crl(after)) == [], "it speaks of what the new CA has certified"
    assert all(key.private is None for key in keeper.store.all() if key.revoked_at is not None)
    keeper.keep_up(LATER + DAY, RULES)
    assert keeper.rotate(LATER + 2 * DAY, RULES)[0].active_from == LATER + 2 * DAY


def test_revocation_lists_are_numbered_upwards_and_signed_by_the_ca(alone: KeyKeeper) -> None:
    pki = view(alone)
    lists = [crl(pki, at) for at in (timedelta(), timedelta(microseconds=1), CRL_LIFETIME / 2)]
    numbers = [each.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for each in lists]
    assert numbers == sorted(set(numbers))
    ca = x509.load_der_x509_certificate(pki.rsa.chain[1])
    for each in lists:
        assert each.is_signature_valid(ca.public_key())  # type: ignore[arg-type]  # RSA, as it was made
        assert each.next_update_utc - each.last_update_utc == CRL_LIFETIME + SKEW  # type: ignore[operator]


def test_chains_hold_over_decades(alone: KeyKeeper) -> None:
    """Whoever signs has a chain of which nothing has ended, and everything is signed by what is above it."""
    at = LATER
    for _ in range(12):
        at += 4 * 365 * DAY
        alone.keep_up(at, RULES)
        pki = TokenPki(alone.store.all(), at + LEAD)
        for key in (pki.rsa, pki.ec):
            chain = [x509.load_der_x509_certificate(certificate) for certificate in key.chain]
            for certificate, issuer in zip(chain, [*chain[1:], chain[-1]], strict=True):
                certificate.verify_directly_issued_by(issuer)
                assert certificate.not_valid_before_utc <= at < certificate.not_valid_after_utc - timedelta(days=60)
                assert certificate.not_valid_after_utc <= issuer.not_valid_after_utc


def test_nodes_that_do_the_same_at_once_do_it_once(place: Path | str) -> None:
    engines = [open_database(place) for _ in range(4)]
    keepers = [opened(engine) for engine in engines]

    def everywhere(deed: Callable[[KeyKeeper], object]) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(deed, keepers))

    everywhere(lambda keeper: keeper.keep_up(AT + STANDBY_AFTER, RULES))
    keys = keepers[0].store.all()
    assert sorted(key.kind for key in keys) == ["ca", "ec", "ec", "root", "rsa", "rsa"]

    rotated: list[KeyKeeper] = []

    def rotate(keeper: KeyKeeper) -> None:
        with contextlib.suppress(Conflict):
            keeper.rotate(LATER, RULES)
            rotated.append(keeper)

    everywhere(rotate)
    assert len(rotated) == 1
    assert sorted(key.kind for key in keepers[0].store.all() if key.active_from == LATER) == ["ec", "rsa"]
    for engine in engines:
        engine.dispose()


DEEDS: dict[str, Callable[[KeyKeeper], object]] = {
    "keep up": lambda keeper: keeper.keep_up(AT + 4 * 365 * DAY + 300 * DAY, RULES),
    "rotate": lambda keeper: keeper.rotate(LATER, RULES),
    "revoke ca": lambda keeper: keeper.revoke_ca(LATER, RULES),
    "revoke": lambda keeper: keeper.revoke(view(keeper).rsa.kid, LATER, RULES),
}


@pytest.mark.parametrize("deed", sorted(DEEDS))
def test_what_is_cut_off_between_two_statements_has_not_begun(alone: KeyKeeper, sqlite: Engine, deed: str) -> None:
    before = alone.store.all()
    left = 0

    def fail(*arguments: object) -> None:
        nonlocal left
        if str(arguments[2]).startswith(("INSERT", "UPDATE", "DELETE")):
            left -= 1
            if left < 0:
                raise NotAuthorised("cut off")

    event.listen(sqlite, "before_cursor_execute", fail)
    cuts = 0
    while True:
        left = cuts
        try:
            DEEDS[deed](alone)
        except NotAuthorised:
            after = alone.store.all()
            done = {key.id for key in after} - {key.id for key in before}
            assert after == before or deed == "keep up", "each of its rounds is whole"
            TokenPki(after, LATER)
            assert len(done) % 2 == 0, "both kinds, or none"
            cuts += 1
        else:
            break
    event.remove(sqlite, "before_cursor_execute", fail)
    assert cuts >= 3
    TokenPki(alone.store.all(), LATER)


def test_an_earlier_releases_keys_sign_on(sqlite: Engine) -> None:
    material = SigningMaterialStore(sqlite, SEALER)
    for key in begun():
        private = key.private or b""
        material.ensure(f"{key.kind}.certificate", lambda key=key: key.certificate)  # type: ignore[misc]
        material.ensure(f"{key.kind}.key", lambda private=private: private)  # type: ignore[misc]
    keeper = KeyKeeper(TokenKeyStore(sqlite, SEALER), BASE_URL, make=same_key)
    keeper.begin(LATER, RULES)
    assert {(key.id, key.private) for key in keeper.store.all()} == {(key.id, key.private) for key in begun()}
    assert view(keeper).rsa.kid == TokenPki(begun(), AT).rsa.kid
    keeper.keep_up(LATER, RULES)
    assert keeper.rotate(LATER + LEAD, RULES)[0].active_from == LATER + LEAD


@pytest.mark.parametrize("broken", ["missing", "no certificate", "no key"])
def test_an_earlier_releases_keys_that_are_not_whole_stop_the_start(sqlite: Engine, broken: str) -> None:
    material = SigningMaterialStore(sqlite, SEALER)
    for key in begun()[: 3 if broken == "missing" else 4]:
        certificate = b"none" if broken == "no certificate" else key.certificate
        private = same_key("ec").private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        value = b"none" if broken == "no key" else private
        material.ensure(f"{key.kind}.certificate", lambda certificate=certificate: certificate)  # type: ignore[misc]
        material.ensure(f"{key.kind}.key", lambda value=value: value)  # type: ignore[misc]
    keeper = KeyKeeper(TokenKeyStore(sqlite, SEALER), BASE_URL, make=same_key)
    with pytest.raises(SettingsError, match="stored signing keys"):
        keeper.begin(LATER, RULES)
    assert keeper.store.all() == ()


def test_a_failure_beside_the_requests_is_logged_and_not_tried_at_once(
    alone: KeyKeeper, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def fail() -> tuple[TokenKey, ...]:
        asked.append(1)
        raise Unavailable("the database does not answer")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(alone.store, "all", fail)
        for at in (LATER, LATER + SECOND, LATER + timedelta(minutes=1)):
            alone.keep_up_soon(at, RULES)
            alone.close()
    assert len(asked) == 2
    assert "could not be kept in order" in caplog.text


def test_the_command_offers_the_reasons_that_there_are() -> None:
    assert signing_key._REASONS == REASONS
