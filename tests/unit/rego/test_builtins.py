"""Every function that a policy may call gives what OPA's documentation says, those of ours as well."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.appraise.told import AT, SGX, rego

from ambergate.rego.builtins import ALLOWED

if TYPE_CHECKING:
    from ambergate.rego.engine import RegoEngine

TRUE = {
    "abs": "abs(-3) == 3",
    "array.concat": "array.concat([1], [2, 3]) == [1, 2, 3]",
    "array.slice": "array.slice([1, 2, 3], 1, 3) == [2, 3]",
    "ceil": "ceil(1.2) == 2",
    "contains": 'contains("amber", "mbe")',
    "count": 'count([1, 2]) + count({1, 1}) + count("four") + count({"a": 1}) == 8',
    "endswith": 'endswith("amber", "er")',
    "floor": "floor(1.8) == 1",
    "indexof": 'indexof("amber", "b") == 2',
    "intersection": "intersection({{1, 2}, {2, 3}}) == {2}",
    "is_array": "is_array([1])",
    "is_boolean": "is_boolean(false)",
    "is_null": "is_null(null)",
    "is_number": "is_number(1)",
    "is_object": 'is_object({"a": 1})',
    "is_set": "is_set({1})",
    "is_string": 'is_string("a")',
    "lower": 'lower("AmBer") == "amber"',
    "object.get": 'object.get({"a": 1}, "b", 2) == 2',
    "object.keys": 'object.keys({"a": 1, "b": 2}) == {"a", "b"}',
    "object.subset": 'object.subset({"a": 1, "b": 2}, {"a": 1})',
    "object.union": 'object.union({"a": 1, "b": 2}, {"b": 3}) == {"a": 1, "b": 3}',
    "replace": 'replace("a-b-c", "-", "") == "abc"',
    "round": "round(1.5) == 2",
    "set": "count(set()) == 0",
    "split": 'split("a,b", ",") == ["a", "b"]',
    "startswith": 'startswith("amber", "am")',
    "substring": 'substring("amber", 1, 2) == "mb"',
    "sum": "sum([1, 2, 3]) == 6",
    "time.add_date": "time.add_date(0, 1, 0, 0) == 31536000000000000",
    "time.now_ns": "time.now_ns() > 0",
    "time.parse_rfc3339_ns": 'time.parse_rfc3339_ns("1970-01-02T00:00:01Z") == 86401000000000',
    "trim": 'trim("..a..", ".") == "a"',
    "trim_space": 'trim_space(" a ") == "a"',
    "type_name": 'type_name([]) == "array"',
    "union": "union({{1}, {2}}) == {1, 2}",
    "upper": 'upper("a") == "A"',
}


def holds(engine: RegoEngine, expression: str) -> bool:
    return engine.evaluate(rego(f"a {{ {expression} }}"), SGX, at=AT).matched


def test_each_function_does_what_it_says(engine: RegoEngine) -> None:
    assert set(TRUE) == ALLOWED
    module = "\n".join(f"r{index} {{ {expression} }}" for index, expression in enumerate(TRUE.values()))
    outcome = engine.evaluate(rego(module), SGX, at=AT)
    assert outcome.mismatches == ()


def test_a_year_and_a_month_are_the_calendars(engine: RegoEngine) -> None:
    """As Go's AddDate has it: the 31st of a month without one is in the next."""
    start = int(datetime(2024, 1, 31, tzinfo=UTC).timestamp()) * 10**9
    march = int(datetime(2024, 3, 2, tzinfo=UTC).timestamp()) * 10**9
    assert holds(engine, f"time.add_date({start}, 0, 1, 0) == {march}")
    assert holds(engine, f"time.add_date({start}, 0, 0, -31) == {start - 31 * 86400 * 10**9}")


@settings(deadline=None, max_examples=25)
@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001  made aware below
def test_instants_are_read_as_the_calendar_has_them(engine: RegoEngine, when: datetime) -> None:
    whole = when.replace(microsecond=0, tzinfo=UTC)
    text = whole.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert holds(engine, f'time.parse_rfc3339_ns("{text}") == {int(whole.timestamp()) * 10**9}')


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-30T00:00:00Z", "2023-02-29T00:00:00Z", "2024-13-01T00:00:00Z", "2024-03-13T24:00:00Z",
        "2024-03-13T23:59:60Z", "2024-03-13 00:00:00Z", "2024-03-13T00:00:00", "2024-03-13T00:00:00+01:00",
        "2024-03-13T00:00:00.5Z", "2024-03-13T0a:00:00Z", "2024-03-13T-1:00:00Z", "", "yesterday",
    ],
)  # fmt: skip
def test_what_is_no_instant_is_undefined(engine: RegoEngine, text: str) -> None:
    assert not holds(engine, f'time.parse_rfc3339_ns("{text}") < 99999999999999999999')
