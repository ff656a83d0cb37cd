"""Renders or lints a chart by Helm's own engine: a request as JSON on standard input, its answer on standard output.

Runs under the interpreter of build/deploy-tools, which has that engine, and imports nothing else.
"""

# mypy: ignore-errors
import json
import sys

from helm_python import chart, errors


def answer(request: dict) -> dict:
    folder, values = request["chart"], request["values"]
    try:
        with chart.Chart.load(folder) as loaded:
            loaded.validate_schema(values)
            templates = loaded.render(values, name=request["name"], namespace="apart")
        return {"templates": templates, "lint": chart.lint(folder, values, strict=True, kube_version="v1.33.0")}
    except errors.HelmError as exc:
        return {"error": str(exc)}


if __name__ == "__main__":
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
