"""A typed policy that is not exactly understood does not load, in any of its forms."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.appraise.told import AT, MR_ENCLAVE, MR_SIGNER, SGX, typed

from ambergate.core.appraise.named import MAX_TEXT
from ambergate.core.appraise.typed import TypedEngine, read_typed
from ambergate.core.errors import MalformedPolicy
from ambergate.policies.yaml_text import read_yaml, yaml_reader

TOML = f"""
tcb_statuses = ["UpToDate", "OutOfDate"]

[[sgx]]
mr_signer = ["{MR_SIGNER}"]
isv_prod_id = [7, 8]
minimum_isv_svn = 3

[[tcb_grace]]
status = "OutOfDateConfigurationNeeded"
days_after_tcb_date = 30
"""
YAML = f"""
# the same
tcb_statuses: [UpToDate, OutOfDate]
sgx:
  - mr_signer:
      - {MR_SIGNER}
    isv_prod_id: [7, 8]
    minimum_isv_svn: 3
tcb_grace:
  - status: OutOfDateConfigurationNeeded
    days_after_tcb_date: 30
"""


def test_three_forms_of_one_policy() -> None:
    read = read_typed(TOML)
    assert read_typed(json.dumps(tomllib.loads(TOML))) == read
    assert read_typed(YAML, yaml=read_yaml) == read


def test_without_a_reader_yaml_does_not_load() -> None:
    with pytest.raises(MalformedPolicy, match="YAML") as caught:
        read_typed(YAML)
    assert "pip install" in str(caught.value.hint)
    assert yaml_reader() is read_yaml


def sgx(members: str) -> str:
    return f"[[sgx]]\n{members}\n"


NAMED = sgx(f'mr_enclave = ["{MR_ENCLAVE}"]')
WRONG = {
    "empty": "",
    "nobody": 'tcb_statuses = ["UpToDate"]',
    "unknown member": "allow_debug = true\n" + NAMED,
    "misspelt table": NAMED.replace("sgx", "sgxs"),
    "unknown in a table": sgx(f'mrenclave = ["{MR_ENCLAVE}"]'),
    "empty list": sgx("mr_enclave = []"),
    "short measurement": sgx('mr_enclave = ["0e"]'),
    "no hex": sgx(f'mr_enclave = ["{"0g" * 32}"]'),
    "a number for a measurement": sgx(f"mr_enclave = [{'1' * 18}]"),
    "a signer alone": sgx(f'mr_signer = ["{MR_SIGNER}"]'),
    "a signer without version": sgx(f'mr_signer = ["{MR_SIGNER}"]\nisv_prod_id = [1]'),
    "a product alone": sgx("isv_prod_id = [1]"),
    "half a signer beside a program": sgx(f'mr_enclave = ["{MR_ENCLAVE}"]\nisv_prod_id = [1]'),
    "an empty table": "[[sgx]]\n",
    "one table, no list": f'[sgx]\nmr_enclave = ["{MR_ENCLAVE}"]',
    "tables of nothing": "sgx = []",
    "a list of no tables": "sgx = [1]",
    "too many": "sgx = [" + "{}," * 257 + "]",
    "a TD by half": '[[tdx]]\nrtmr0 = ["' + "00" * 48 + '"]',
    "a TD's wrong width": f'[[tdx]]\nmr_td = ["{"00" * 32}"]',
    "a TD's version out of range": f'[[tdx]]\nmr_td = ["{"00" * 48}"]\nminimum_seam_svn = 65536',
    "any and one": "dangerously_allow_any_enclave = true\n" + NAMED,
    "truth in words": 'dangerously_allow_debug = "true"\n' + NAMED,
    "truth in numbers": "dangerously_allow_debug = 1\n" + NAMED,
    "revoked": 'tcb_statuses = ["Revoked"]\n' + NAMED,
    "revoked by grace": '[[tcb_grace]]\nstatus = "Revoked"\ndays_after_tcb_date = 1\n' + NAMED,
    "unknown status": 'tcb_statuses = ["OK"]\n' + NAMED,
    "no status": "[[tcb_grace]]\ndays_after_tcb_date = 1\n" + NAMED,
    "a grace without end": '[[tcb_grace]]\nstatus = "OutOfDate"\n' + NAMED,
    "a grace with two ends": '[[tcb_grace]]\nstatus = "OutOfDate"\nuntil = 2027-01-01T00:00:00Z\n'
    "days_after_tcb_date = 1\n" + NAMED,
    "a local time": '[[tcb_grace]]\nstatus = "OutOfDate"\nuntil = 2027-01-01T00:00:00\n' + NAMED,
    "a day": '[[tcb_grace]]\nstatus = "OutOfDate"\nuntil = 2027-01-01\n' + NAMED,
    "no time": '[[tcb_grace]]\nstatus = "OutOfDate"\nuntil = "soon"\n' + NAMED,
    "beyond the calendar": '[[tcb_grace]]\nstatus = "OutOfDate"\nuntil = "9999-12-31T23:59:59-23:59"\n' + NAMED,
    "ever": '[[tcb_grace]]\nstatus = "OutOfDate"\ndays_after_tcb_date = 36500\n' + NAMED,
    "backwards": '[[tcb_grace]]\nstatus = "OutOfDate"\ndays_after_tcb_date = -1\n' + NAMED,
    "an advisory without id": '[[advisory]]\nreason = "x"\n' + NAMED,
    "an advisory of a number": "[[advisory]]\nid = 615\n" + NAMED,
    "a reason of a number": '[[advisory]]\nid = "x"\nreason = 1\n' + NAMED,
    "twice in TOML": f"dangerously_allow_debug = false\ndangerously_allow_debug = true\n{NAMED}",
    "twice in JSON": '{"sgx": [], "sgx": []}',
    "twice in YAML": "sgx: []\nsgx: []\n",
    "an array": "[1]",
    "deep TOML": "a = " + "[" * 9000,
    "deep JSON": '{"a":' * 4000,
    "deep YAML": "a: " + "[" * 9000,
    "deep keys": ".".join("a" for _ in range(9000)) + " = 1",
    "a huge number in TOML": "a = " + "9" * 6000,
    "a huge number in JSON": '{"a": ' + "9" * 6000 + "}",
    "no number": '{"a": NaN}',
    "half a pair": '{"\\ud800": 1}',
    "laughter": "a: &a [x, x]\nb: &b [*a, *a]\nsgx: *b\n",
    "an object of Python": "sgx: !!python/object/apply:os.system [true]\n",
    "a tag": "sgx: !!set {}\n",
    "merged keys": "base: &b {mr_enclave: []}\nsgx:\n  - <<: *b\n",
    "two documents": "sgx: 1\n---\nsgx: 2\n",
    "a key of a list": "? [a]\n: 1\n",
    "no YAML": "sgx: a: b\n",
    "half a YAML": "sgx: [\n",
    "many values in YAML": "sgx: [" + "a," * 9000 + "]",
    "YAML's truth": "dangerously_allow_any_enclave: yes\n",
    "YAML's number": "sgx:\n  - mr_signer: [" + MR_SIGNER + "]\n    isv_prod_id: [0x7]\n    minimum_isv_svn: 1_0\n",
    "control characters": "sgx\x00 = 1",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(WRONG))
def test_what_does_not_load(name: str) -> None:
    with pytest.raises(MalformedPolicy) as caught:
        read_typed(WRONG[name], yaml=read_yaml)
    assert len(str(caught.value)) + len(str(caught.value.seen)) < 1000


def test_a_policy_that_does_not_load_matches_nothing() -> None:
    engine = TypedEngine(read_yaml)
    for text in WRONG.values():
        assert not engine.evaluate(typed(text), SGX, at=AT).matched


def test_the_nearest_member_is_named() -> None:
    with pytest.raises(MalformedPolicy) as caught:
        read_typed("tcb_status = 1\n" + NAMED)
    assert caught.value.hint == "did you mean tcb_statuses?"


def test_the_text_is_bounded_before_it_is_read() -> None:
    with pytest.raises(MalformedPolicy, match="too long"):
        read_typed("#" * (MAX_TEXT + 1))


@settings(deadline=None)
@given(st.one_of(st.text(max_size=200), st.text(st.sampled_from(TOML + YAML + '{}"'), max_size=400)))
def test_any_text_is_a_policy_or_malformed(text: str) -> None:
    engine = TypedEngine(read_yaml)
    try:
        policy = typed(text)
        engine.check(policy)
    except MalformedPolicy:
        return
    assert engine.evaluate(policy, SGX, at=AT).policy is policy
