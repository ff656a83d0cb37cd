"""Which built-in functions a policy may call, and those that the interpreter lacks and we write in Rego.

The interpreter does not say that it lacks a function: a call of one is undefined, which `not` turns into true. So a
policy may call what is listed here, which tests hold to OPA's documentation, and nothing else.
"""

from __future__ import annotations

from typing import Final

# Pure functions of their arguments. The five that Intel's service allows are among them (wire protocol, 5.3).
ALLOWED: Final = frozenset(
    {
        "abs", "array.concat", "array.slice", "ceil", "contains", "count", "endswith", "floor", "indexof",
        "intersection", "is_array", "is_boolean", "is_null", "is_number", "is_object", "is_set", "is_string", "lower",
        "object.get", "object.keys", "object.subset", "object.union", "replace", "round", "set", "split", "startswith",
        "substring", "sum", "time.add_date", "time.now_ns", "time.parse_rfc3339_ns", "trim", "trim_space", "type_name",
        "union", "upper",
    }
)  # fmt: skip

_ORDER: Final = "the interpreter orders sets, and values of several types, in another way than OPA"
# Why some that are asked for are not there.
REFUSED: Final = {
    "opa.runtime": "it tells what the process knows, its environment above all",
    "http.send": "a policy reaches no network",
    "net.lookup_ip_addr": "a policy reaches no network",
    "rand.intn": "a policy gives the same answer to the same claims",
    "uuid.rfc4122": "a policy gives the same answer to the same claims",
    "regex.match": "the interpreter's expressions have no bound; use ==, startswith, endswith or contains",
    "walk": "name the claims that the policy reads",
    "concat": _ORDER,
    "sort": _ORDER,
    "min": _ORDER,
    "max": _ORDER,
    "to_number": "the interpreter takes texts for numbers that OPA does not",
    "format_int": "the interpreter counts in another way than OPA",
    "print": "nobody would read it",
    "trace": "nobody would read it",
}

PREFIX: Final = "amber_x_"  # of every name that we add to a policy

# `time.now_ns()` is replaced by the instant of the appraisal; the interpreter's would be the clock on the wall.
CLOCK: Final = "time.now_ns"
# Functions that the interpreter leaves undefined, under the names that calls of them get.
REPLACED: Final = {"time.parse_rfc3339_ns": f"{PREFIX}rfc3339"}

# RFC 3339 with Z, which is how claims tell instants; fractions and offsets are undefined. The comparison with
# `time.format` refuses days and hours that no calendar has.
POLYFILL: Final = f"""
{PREFIX}rfc3339(s) := ns if {{
  count(s) == 20
  substring(s, 10, 1) == "T"
  substring(s, 19, 1) == "Z"
  ns := (((to_number(substring(s, 11, 2)) * 60 + to_number(substring(s, 14, 2))) * 60
    + to_number(substring(s, 17, 2))) * 1000000000) + time.parse_ns("2006-01-02", substring(s, 0, 10))
  substring(time.format(ns), 0, 19) == substring(s, 0, 19)
}}
"""
