"""One report of several runs of the same benchmark over other units, on one machine: what takes hours, in parts.

    python benchmarks/peers/merge.py peers-0 peers-16 --out peers

writes `results.json` and `report.md`; contact sheets stay with their runs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from report import write_report

_PARTS = ("reach", "equal", "memory")


def merged(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The results of runs as those of one.

    Raises:
        ValueError: they are of other machines, versions, defaults, weights or plans, or of the same units twice.
    """
    whole: dict[str, Any] = {**runs[0], "plan": {**runs[0]["plan"], "units": []}, "networks": {}}
    for run in runs:
        for what in ("hardware", "threads", "sides"):
            if run[what] != whole[what]:
                raise ValueError(f"the runs have not the same {what}: {whole[what]} and {run[what]}")
        if _settings(run) != _settings(whole):
            raise ValueError(f"the runs have not the same plan: {_settings(whole)} and {_settings(run)}")
        whole["plan"]["block"] = max(whole["plan"]["block"], run["plan"]["block"])
        whole["ended"], whole["load_average_after"] = run["ended"], run["load_average_after"]
        for name, found in run["networks"].items():
            _add(whole["networks"], name, found)
    blocks = [block for found in whole["networks"].values() for block in found["reach"]]
    whole["plan"]["units"] = sorted({unit for block in blocks for unit in block["units"]})
    whole["command"] = "\n    ".join(run["command"] for run in runs)
    return whole


def _add(networks: dict[str, Any], name: str, found: dict[str, Any]) -> None:
    into = networks.setdefault(name, {**found, **{part: [] for part in _PARTS}, "errors": {}})
    if into["weights"] != found["weights"]:
        raise ValueError(f"{name} had other weights in another run: {into['weights']} and {found['weights']}")
    known = {(block["round"], unit) for block in into["reach"] for unit in block["units"]}
    if twice := known & {(block["round"], unit) for block in found["reach"] for unit in block["units"]}:
        raise ValueError(f"{name}: two runs have units {', '.join(str(unit) for _, unit in sorted(twice))}")
    for part in _PARTS:
        into[part] += found[part]
    into["errors"] |= found["errors"]


def _settings(run: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in run["plan"].items() if name not in ("units", "block")}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders with a results.json each, in order")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    try:
        results = merged([json.loads((folder / "results.json").read_text()) for folder in given.runs])
    except (OSError, ValueError) as error:
        parser.error(str(error))
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "results.json").write_text(json.dumps(results, indent=1))
    (given.out / "report.md").write_text(write_report(results))
    print(given.out / "report.md")
