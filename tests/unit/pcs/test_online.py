"""Collateral over real TLS from a server that answers as Intel's PCS and as PCCS do, and as neither should."""

from __future__ import annotations

import base64
import itertools
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tests.unit.pcs.site import (
    ANCHOR,
    AT,
    FOUR,
    PCK_CRL,
    PLATFORM,
    QE,
    ROOT_CRL,
    TCB,
    Answer,
    Clock,
    Site,
    answers,
    der,
    site,
    trust,
)

from ambergate.core.errors import MalformedCollateral, SettingsError, TimedOut, Unavailable
from ambergate.core.verify.endorsements import verify_collateral
from ambergate.pcs.addresses import INTEL_PCS, INTEL_ROOT_CRL, Addresses
from ambergate.pcs.fetcher import Wanted
from ambergate.pcs.online import OnlineCollateral
from ambergate.pcs.refusals import UNKNOWN, WITHDRAWN
from ambergate.pcs.transport import MAX_CHAIN_HEADER, MAX_RESPONSE, NOT_TRUSTED, Deadline, Https, tls_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ambergate.core.collateral.bundle import Collateral

COLLATERAL = PLATFORM.collateral(at=AT)
TD_COLLATERAL = PLATFORM.td_collateral(at=AT)


@pytest.fixture
def pccs() -> Iterator[Site]:
    with site(answers(COLLATERAL)) as running:
        yield running


def ask(running: Site, *, tee: str = "SGX", api: str = "v4", update: str = "standard") -> Collateral:
    """One fetch that is not tried again for long: the clock stands still but for the waits."""
    clock = Clock()
    with OnlineCollateral(
        running.url, api=api, update=update, verify=trust(), clock=clock.seconds, sleep=clock.sleep
    ) as source:
        return source.collateral(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee=tee)


def pem(text: str) -> bytes:
    body = base64.encodebytes(bytes.fromhex(text)).decode()
    return f"-----BEGIN X509 CRL-----\n{body}-----END X509 CRL-----\n".encode()


@pytest.mark.parametrize(
    "crl",
    [der, pem, lambda text: text.encode(), lambda text: text.upper().encode() + b"\r\n"],
    ids=["der", "pem", "hex", "HEX"],
)
def test_crls_come_as_der_pem_and_hex_whatever_content_type_says(crl: Callable[[str], bytes]) -> None:
    with site(answers(COLLATERAL, crl=crl)) as running:
        collateral = ask(running)
    assert collateral == COLLATERAL
    assert verify_collateral(collateral, at=AT, anchor=ANCHOR).tcb_info.fmspc == PLATFORM.fmspc


def test_four_requests_and_what_they_ask(pccs: Site) -> None:
    ask(pccs)
    assert pccs.asked == [f"{TCB}?fmspc={PLATFORM.fmspc.hex()}", QE, f"{PCK_CRL}?ca=platform&encoding=der", ROOT_CRL]


def test_the_early_set_is_asked_for_by_name(pccs: Site) -> None:
    ask(pccs, update="early")
    assert pccs.asked[:2] == [f"{TCB}?fmspc={PLATFORM.fmspc.hex()}&update=early", f"{QE}?update=early"]


def test_tdx() -> None:
    with site(answers(TD_COLLATERAL, tee="tdx")) as running:
        assert ask(running, tee="TDX") == TD_COLLATERAL


def test_version_3_and_its_header() -> None:
    with site(answers(COLLATERAL, api="v3")) as running:
        assert ask(running, api="v3") == COLLATERAL
        assert all("/v3/" in target for target in running.asked)


def test_version_3_is_for_sgx_only_and_says_so(pccs: Site) -> None:
    with pytest.raises(Unavailable, match="SGX only, and this is TDX") as caught:
        ask(pccs, api="v3", tee="TDX")
    assert caught.value.wanted == "v4"
    assert pccs.asked == []


@pytest.mark.parametrize(
    "name", ["TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain", "sgx-tcb-info-issuer-chain", "TCB-INFO-ISSUER-CHAIN"]
)
def test_either_name_of_the_header_in_any_case(pccs: Site, name: str) -> None:
    (chain,) = pccs.table[TCB].headers.values()
    pccs.table[TCB].headers = {name: chain}
    assert ask(pccs) == COLLATERAL


@pytest.mark.parametrize("api", ["v4", "v3"])
@pytest.mark.parametrize(
    "base", [INTEL_PCS, f"{INTEL_PCS}/", f"{INTEL_PCS}:443", INTEL_PCS.upper().replace("HTTPS", "https")]
)
def test_intels_root_crl_is_at_another_host(api: str, base: str) -> None:
    assert Addresses.of(base, api=api).root_crl == INTEL_ROOT_CRL


def test_the_root_crl_may_be_elsewhere(pccs: Site) -> None:
    table = {"/root.der": pccs.table.pop(ROOT_CRL)}
    with site(table) as other, OnlineCollateral(pccs.url, root_crl=f"{other.url}/root.der", verify=trust()) as source:
        assert source.collateral(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee="SGX") == COLLATERAL
        assert len(other.asked) == 1


def test_what_families_share_is_fetched_once_for_a_burst_and_again_later(pccs: Site) -> None:
    clock = Clock()
    with OnlineCollateral(pccs.url, verify=trust(), clock=clock.seconds, sleep=clock.sleep) as source:
        for _ in range(3):
            source.collateral(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee="SGX")
        assert [pccs.count(path) for path in (TCB, QE, PCK_CRL, ROOT_CRL)] == [3, 1, 1, 1]
        clock.turn(seconds=10)
        source.collateral(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee="SGX")
        assert [pccs.count(path) for path in (TCB, QE, PCK_CRL, ROOT_CRL)] == [4, 2, 2, 2]


def refusal(running: Site, path: str, answer: Answer) -> Unavailable:
    running.table[path] = answer
    with pytest.raises(Unavailable) as caught:
        ask(running)
    assert caught.value.hint
    assert f"HTTP {answer.status} from {running.url}{path}" in (caught.value.seen or "")
    return caught.value


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418, 460, 461, 462, 301, 307])
def test_what_another_try_cannot_change_is_asked_once(pccs: Site, status: int) -> None:
    refusal(pccs, TCB, Answer(status, headers={"Location": "https://elsewhere.example/"}))
    assert pccs.count(TCB) == 1
    assert len(pccs.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_another_try_can_change_is_asked_again(pccs: Site, status: int) -> None:
    pccs.script[TCB] = [Answer(status), Answer(status)]
    assert ask(pccs) == COLLATERAL
    assert pccs.count(TCB) == FOUR - 1


def test_it_gives_up_after_so_many_tries(pccs: Site) -> None:
    refusal(pccs, TCB, Answer(503))
    assert pccs.count(TCB) == 4


def test_unknown_and_withdrawn_are_told_apart(pccs: Site) -> None:
    unknown, withdrawn = refusal(pccs, TCB, Answer(404)), refusal(pccs, TCB, Answer(410))
    assert (unknown.code, withdrawn.code) == (UNKNOWN, WITHDRAWN)
    assert "knows no such" in unknown.message
    assert PLATFORM.fmspc.hex() in (unknown.seen or "")
    assert "no longer" in withdrawn.message
    assert "v4" in (withdrawn.hint or "")


def test_what_intel_says_itself_is_told_printably(pccs: Site) -> None:
    answer = Answer(
        400, headers={"Error-Code": "InvalidParameter", "Error-Message": "fmspc\tis\x1b[31m odd" + "!" * 999}
    )
    seen = refusal(pccs, TCB, answer).seen or ""
    assert "InvalidParameter: fmspc?is?[31m odd" in seen
    assert len(seen) < 300


def test_a_redirect_is_not_followed(pccs: Site) -> None:
    with site(answers(COLLATERAL)) as other:
        error = refusal(pccs, TCB, Answer(302, headers={"Location": other.url + TCB}))
        assert other.asked == []
    assert other.url in (error.seen or "")


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (TCB, Answer(body=b"<html>")),
        (TCB, Answer(body=b"\xff", headers={"TCB-Info-Issuer-Chain": "x"})),
        (TCB, Answer(body=b'{"tcbInfo":{},"signature":"' + b"0" * 128 + b'"}')),
        (QE, Answer(body=b'{"enclaveIdentity":{},"signature":""}', headers={"SGX-Enclave-Identity-Issuer-Chain": "x"})),
        (PCK_CRL, Answer(body=b"<html>", headers={"SGX-PCK-CRL-Issuer-Chain": "x"})),
        (PCK_CRL, Answer(body=bytes.fromhex(COLLATERAL.pck_crl))),
        (ROOT_CRL, Answer()),
        (ROOT_CRL, Answer(body=b"abc")),
        (ROOT_CRL, Answer(body=b"-----BEGIN X509 CRL-----\n=A=\n-----END X509 CRL-----")),
        (ROOT_CRL, Answer(body=bytes.fromhex(COLLATERAL.root_ca_crl), headers={"Content-Encoding": "gzip"})),
    ],
)
def test_what_is_not_the_document(pccs: Site, path: str, answer: Answer) -> None:
    pccs.table[path] = answer
    with pytest.raises(MalformedCollateral) as caught:
        ask(pccs)
    assert caught.value.seen
    assert pccs.count(path) == 1


def test_a_reply_that_announces_too_much_is_not_read(pccs: Site) -> None:
    pccs.table[TCB].announced = MAX_RESPONSE + 1
    with pytest.raises(MalformedCollateral, match="too long") as caught:
        ask(pccs)
    assert f"Content-Length {MAX_RESPONSE + 1}" in (caught.value.seen or "")


def test_a_reply_that_never_ends_is_not_read_to_the_end(pccs: Site) -> None:
    chunk = b"%x\r\n%s\r\n" % (64 * 1024, b" " * 64 * 1024)
    pccs.table[TCB] = Answer(body=chunk * 17 + b"0\r\n\r\n", headers={"Transfer-Encoding": "chunked"})
    with pytest.raises(MalformedCollateral, match="too long"):
        ask(pccs)


def test_an_issuer_chain_is_bounded(pccs: Site) -> None:
    pccs.table[TCB].headers = {"TCB-Info-Issuer-Chain": "x" * (MAX_CHAIN_HEADER + 1)}
    with pytest.raises(MalformedCollateral, match="issuer chain is too long"):
        ask(pccs)


def test_a_reply_that_is_cut_short_is_asked_for_again(pccs: Site) -> None:
    whole = pccs.table[TCB]
    pccs.script[TCB] = [Answer(body=whole.body[:-40], headers=whole.headers, announced=len(whole.body))]
    assert ask(pccs) == COLLATERAL
    assert pccs.count(TCB) == 2


def test_a_connection_that_is_cut_is_not_the_end_of_a_reply(pccs: Site) -> None:
    """Without a length, only TLS's own goodbye says that a reply is whole; this server closes without one."""
    whole = pccs.table[TCB]
    pccs.script[TCB] = [Answer(body=whole.body, headers=whole.headers, announced=-1)]
    assert ask(pccs) == COLLATERAL
    assert pccs.count(TCB) == 2


def test_silence_is_timed_out(pccs: Site) -> None:
    pccs.gate.clear()
    clock = Clock()
    with (
        OnlineCollateral(pccs.url, verify=trust(), timeout=0.1, clock=clock.seconds, sleep=clock.sleep) as source,
        pytest.raises(TimedOut) as caught,
    ):
        source.collateral(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee="SGX")
    assert pccs.count(TCB) == 4
    assert TCB in (caught.value.seen or "")


def test_a_reply_in_many_pieces_is_bounded_as_a_whole(pccs: Site) -> None:
    pccs.table[TCB] = Answer(body=b" " * MAX_RESPONSE, headers=pccs.table[TCB].headers)
    seconds = itertools.count()  # each look at the clock is a second later: no piece is late, all together are
    with (
        OnlineCollateral(pccs.url, verify=trust(), clock=lambda: float(next(seconds))) as source,
        pytest.raises(TimedOut),
    ):
        source.collateral(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee="SGX")
    assert pccs.count(TCB) == 1


def test_nothing_listens() -> None:
    with site({}) as running:
        url = running.url
    clock = Clock()
    with (
        OnlineCollateral(url, verify=trust(), clock=clock.seconds, sleep=clock.sleep) as source,
        pytest.raises(Unavailable, match="cannot be reached"),
    ):
        source.collateral(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee="SGX")
    assert len(clock.slept) == 3


def test_tls_is_verified_and_not_tried_again(pccs: Site) -> None:
    clock = Clock()
    with (
        OnlineCollateral(pccs.url, clock=clock.seconds, sleep=clock.sleep) as source,
        pytest.raises(Unavailable) as caught,
    ):
        source.collateral(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee="SGX")
    assert caught.value.code == NOT_TRUSTED
    assert (pccs.asked, clock.slept) == ([], [])


def test_the_name_is_verified_too(pccs: Site) -> None:
    url = pccs.url.replace("127.0.0.1", "localhost")
    with pytest.raises(Unavailable, match="not trusted"):
        Https(trust(), timeout=5).get(f"{url}/", Deadline(5, Clock().seconds))


@pytest.mark.parametrize("weak", ["CERT_NONE", "CERT_OPTIONAL", "names"])
def test_a_context_that_does_not_verify_is_refused(weak: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    if weak != "names":
        context.verify_mode = ssl.VerifyMode[weak]
    with pytest.raises(SettingsError, match="verified TLS only"):
        OnlineCollateral(verify=context)


def test_the_environment_names_no_proxy(pccs: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert ask(pccs) == COLLATERAL


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1",
        "https://",
        "https://user@host",
        "https://host/?a=b",
        "https://host/#a",
        "https://host:0",
        "https://host:x",
        "https://ho st",
        "https://h\r\nx",
        "host",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(SettingsError):
        OnlineCollateral(url)
    with pytest.raises(SettingsError):
        OnlineCollateral(root_crl=url)


def test_apis_and_sets_that_do_not_exist() -> None:
    with pytest.raises(SettingsError, match="no such API"):
        OnlineCollateral(api="v2")
    with pytest.raises(SettingsError, match="no such set"):
        OnlineCollateral(update="late")


def test_a_base_may_have_a_path() -> None:
    addresses = Addresses.of("https://host.example/sub/")
    url = addresses.tcb_info(Wanted(PLATFORM.fmspc, "platform", "SGX"))
    assert urlsplit(url).path == f"/sub{TCB}"


@pytest.mark.parametrize(("ca", "tee"), [("root", "SGX"), ("platform", "SEV"), ("platform&x=y", "SGX")])
def test_only_what_exists_is_asked_for(pccs: Site, ca: str, tee: str) -> None:
    with OnlineCollateral(pccs.url, verify=trust()) as source, pytest.raises(Unavailable):
        source.collateral(fmspc=PLATFORM.fmspc, ca=ca, tee=tee)
    assert pccs.asked == []


def test_after_close_nothing_is_asked(pccs: Site) -> None:
    source = OnlineCollateral(pccs.url, verify=trust())
    source.close()
    with pytest.raises(Unavailable, match="has ended"):
        source.collateral(fmspc=PLATFORM.fmspc, ca=PLATFORM.ca, tee="SGX")
    assert pccs.asked == []


def test_roots_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "roots.pem").write_text("none")
    for path in (tmp_path / "roots.pem", tmp_path / "missing.pem"):
        with pytest.raises(SettingsError, match="roots cannot be used"):
            tls_context(path)
