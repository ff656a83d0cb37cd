"""2,000 mutants of one seed: the verifiers agree on each, or a written choice says why not."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from fuzz.__main__ import main
from fuzz.case import Case
from fuzz.choices import CHOICES
from fuzz.flips import ALLOWANCES, flip_triples
from fuzz.judges import MAX_SECONDS, Outcome, ours
from fuzz.mutants import MUTATORS, mutant
from fuzz.platforms import draw_specimens
from fuzz.runs import CHUNK, Tally, judge, run_chunk
from fuzz.specimens import genuine_specimens, vectors_directory
from fuzz.triple import Triple

CASES = 2_000
SEED = "tests"


@pytest.mark.parametrize("chunk", range(CASES // CHUNK))
def test_no_mutant_is_judged_differently_without_a_choice(chunk: int) -> None:
    tally = run_chunk(SEED, chunk, CHUNK)
    assert [f"{each.what}: {each.case.triple.mutations}" for each in tally.findings] == []
    assert tally.cases == CHUNK
    assert tally.verdicts["both refuse"] > tally.verdicts["both accept"] > 0
    assert set(tally.choices) <= {choice.name for choice in CHOICES}


def test_genuine_evidence_is_mutated_where_there_is_any() -> None:
    genuine = genuine_specimens()
    if not genuine:
        pytest.skip(f"no vectors at {vectors_directory()}: set AMBER_VECTORS")
    assert sum(ours(Triple(raw=each.raw, bundle=each.collateral.to_json(), at=each.at, root_der=None, origin="",
                           mutations=())).accepted for each in genuine[:20]) > 10  # fmt: skip


def test_every_mutator_changes_something() -> None:
    rng = Random("mutators")
    specimen, other = draw_specimens(rng)
    done: Counter[str] = Counter()
    for _ in range(600):
        done.update(each.partition(":")[0] for each in mutant(rng, specimen, (specimen, other)).mutations)
    assert set(done) == {mutator.name for mutator in MUTATORS}


def test_names_of_choices_are_unique() -> None:
    names = [choice.name for choice in CHOICES]
    assert len(set(names)) == len(names)
    assert all(choice.reason and choice.source for choice in CHOICES)


def test_no_choice_explains_a_difference_that_nobody_chose() -> None:
    """A forged quote that one of the two took for genuine would be a finding, whichever of the two it is."""
    triple, _ = flip_triples()
    good = Outcome(status="UpToDate")
    assert judge(Case(triple=triple, ours=good, theirs=good)) == "both accept"
    for mine, other in (
        (good, Outcome(why="Verification failed: ISV enclave report signature is invalid")),
        (Outcome(where="8.1.quote_signature", why="the quote is not signed by its attestation key"), good),
        (Outcome(where="2.11.pck_revoked", why="PCK is revoked"), good),
        (good, Outcome(why="Verification failed: CertRevoked")),
        (good, Outcome(status="OutOfDate")),
        (good, Outcome(status="UpToDate", advisory_ids=("INTEL-SA-00001",))),
        (Outcome(where="parse", why="too many bytes follow the signature data"), good),
        (good, Outcome(why="Verification failed: Debug mode is enabled")),
        (good, Outcome(why="Verification failed: SGX TEE quote must have version 3")),
    ):
        assert judge(Case(triple=triple, ours=mine, theirs=other)).startswith("finding"), (mine, other)


def test_stray_errors_and_slow_verifications_are_findings() -> None:
    triple, _ = flip_triples()
    refused = Outcome(why="Verification failed")
    stray = Outcome(where="parse", why="KeyError: 'x'", stray=True)
    slow = replace(refused, where="parse", seconds=MAX_SECONDS + 0.1)
    tally = Tally()
    for mine in (stray, slow):
        tally.add(Case(triple=triple, ours=mine, theirs=refused))
    assert [each.what for each in tally.findings] == ["an error that is not ours, KeyError: 'x'", "1.1 s of CPU"]


def test_a_case_survives_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = Random("replay")
    specimen, other = draw_specimens(rng)
    triple = mutant(rng, specimen, (specimen, other))
    path = tmp_path / "case.json"
    path.write_text(triple.to_json())
    assert Triple.from_json(path.read_text()) == triple
    main(["--replay", str(path)])
    told = capsys.readouterr().out
    assert triple.origin in told
    assert "dcap-qvl" in told


def test_the_command_writes_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    code = main(["--seed", SEED, "--cases", "20", "--no-flips", "--output", str(tmp_path / "fuzz.json")])
    report = json.loads((tmp_path / "fuzz.json").read_text())
    assert code == (1 if report["findings"] else 0)
    assert report["cases"] == sum(report["verdicts"].values()) == 20
    assert report["seconds"] <= time.monotonic() - started + 0.05  # it is told to a tenth
    assert "20 mutants of seed tests" in capsys.readouterr().out


def test_choices_and_flips_are_written_down() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "fuzzing.md").read_text(encoding="utf-8")
    missing = [each.name for each in CHOICES if f"| `{each.name}` | {each.reason} | {each.source} |" not in page]
    missing += [each.name for each in ALLOWANCES if f"| `{each.name}` | {each.reason} |" not in page]
    assert missing == []
    assert page.count("\n| `") == len(CHOICES) + len(ALLOWANCES)
