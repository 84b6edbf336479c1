"""The results in words and tables. `python benchmarks/peers/report.py results.json` writes them again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

__all__ = ["write_report"]

_OURS = "pellucid"
Results = Mapping[str, Any]


def _spread(values: Iterable[float], sign: str = "") -> str:
    """Median (lower quartile–upper quartile)."""
    found = list(values)
    if not found:
        return "–"
    if len(found) == 1:
        return f"{found[0]:.3g}{sign}"
    low, _, high = quantiles(found, n=4, method="inclusive")
    return f"{median(found):.3g}{sign} ({low:.3g}–{high:.3g})"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return [*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""]


def _rows(network: Results, peer: str) -> list[dict[str, Any]]:
    return [{**row, "round": block["round"]} for block in network["reach"] for row in block["peers"].get(peer, ())]


def _peers(results: Results) -> list[str]:
    return [side for side in results["sides"] if side != _OURS]


def _names(rows: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(f"{row['unit']}" + (f" (round {row['round']})" if row["round"] else "") for row in rows)


def _head(results: Results) -> list[str]:
    machine, plan = results["hardware"], results["plan"]
    loads = [", ".join(f"{load:.2f}" for load in results[f"load_average_{when}"]) for when in ("before", "after")]
    lines = [
        "# Pellucid and its peers",
        "",
        f"Measured {results['began']} to {results['ended']} by",
        "",
        f"    {results['command']}",
        "",
        f"on {machine['cpu']} ({machine['cores']} cores, {machine['cores_given']} of them given to the benchmark, "
        f"{results['threads']} threads a process, {machine['cpu_capability']}), {machine['memory_gb']} GB, "
        f"{machine['system']}, Python {machine['python']}, torch {machine['torch']}. "
        f"Load average before: {loads[0]}; after: {loads[1]}.",
        "",
        f"Units {', '.join(map(str, plan['units']))} at {plan['size']} px; {plan['rounds']} round(s), "
        f"blocks of {plan['block']}.",
        "",
    ]
    changed = [
        f"{whose} steps are {plan[key]}"
        for whose, key in (("our", "our_steps"), ("the peers'", "peer_steps"))
        if plan[key]
    ]
    if changed:
        lines += [f"**Not the defaults: {' and '.join(changed)}.** These figures test the benchmark, nothing else.", ""]
    if plan["native"]:
        lines += ["Peers make pictures of their own default size, not of ours (`--native`).", ""]
    lines += [
        f"{peer} was asked for units {', '.join(map(str, units))} only." for peer, units in plan["peer_units"].items()
    ]
    keys = ("steps", "learning rate", "optimizer", "image", "transforms", "size", "precision")
    sides = results["sides"]
    versions = {
        side: ", ".join(f"{package} {number}" for package, number in sides[side]["versions"].items()) for side in sides
    }
    lines += ["", "## Sides and their defaults", ""]
    lines += _table(
        ("side", "versions", *keys),
        [(side, versions[side], *(sides[side]["defaults"].get(key, "float32") for key in keys)) for side in sides],
    )
    return lines


def _reach(results: Results) -> list[str]:
    every = results["plan"]["every"]
    lines = [
        "## Seconds until the activation that the peer reaches at its defaults",
        "",
        "A peer's picture is timed by itself. Ours are made in batches of a block; our time is the first step at which "
        f"the clean activation is at least the peer's (looked at every {every} steps, in a run of its own) times the "
        "seconds that our whole rendering takes per image and step. Ratio: the peer's time by ours, unit by unit. A "
        "unit that we did not reach counts with our full recipe, which is less than we would need: its ratio is an "
        "upper bound. Horama's pictures stand beside those of our MACO on a canvas and with boxes like its own, all "
        "others beside our default recipe. Units that do not fire on the peer's own picture are left out and named. "
        "Median (quartiles) over units and rounds.",
        "",
    ]
    table, notes = [], []
    for name, network in results["networks"].items():
        for peer in _peers(results):
            rows = _rows(network, peer)
            fired = [row for row in rows if row["clean"] > 0]
            missed = [row for row in fired if row["our_steps"] is None]
            silent = [row for row in rows if not row["clean"] > 0]
            if missed:
                notes.append(f"- {name}: we did not reach {peer}'s activation of units {_names(missed)}.")
            if silent:
                notes.append(f"- {name}: {peer}'s own pictures do not make units {_names(silent)} fire.")
            if grey := [row for row in fired if row["clean"] <= row["grey"]]:
                notes.append(
                    f"- {name}: flat grey excites units {_names(grey)} at least as much as {peer}'s pictures do."
                )
            if not fired:
                continue
            table.append(
                (
                    name,
                    peer,
                    _spread(row["seconds"] for row in fired),
                    _spread(row["our_seconds"] for row in fired),
                    _spread((row["seconds"] / row["our_seconds"] for row in fired), "×"),
                    _spread(row["our_steps"] for row in fired if row["our_steps"] is not None),
                    f"{len(fired) - len(missed)} of {len(fired)}",
                    _spread((row["our_clean"] / row["clean"] for row in fired), "×"),
                )
            )
    head = (
        "network",
        "peer",
        "its s/image",
        "our s/image",
        "ratio",
        "our steps",
        "reached",
        "our final activation by its",
    )
    lines += [*_table(head, table), *notes, ""]
    steps = [
        f"{name}: {_spread(1e3 * block['ours'][_OURS]['seconds_per_image_step'] for block in network['reach'])} ms"
        for name, network in results["networks"].items()
    ]
    return [*lines, f"Our time per image and step: {'; '.join(steps)}.", ""]


def _robust(results: Results) -> list[str]:
    lines = [
        "## Under transforms that neither side trained with",
        "",
        f"Mean activation over {results['plan']['draws']} draws (fixed seeds, the same for all pictures) of a slight "
        "perspective, a shift by part of a pixel, brightness and noise, by the same picture's clean activation: what "
        "is kept of it. Ours is the snapshot nearest in clean activation to the peer's picture.",
        "",
    ]
    table = []
    for name, network in results["networks"].items():
        for peer in _peers(results):
            rows = [row for row in _rows(network, peer) if row["clean"] > 0 and row["matched_clean"] > 0]
            if rows:
                table.append(
                    (
                        name,
                        peer,
                        _spread(row["robust"] / row["clean"] for row in rows),
                        _spread(row["matched_robust"] / row["matched_clean"] for row in rows),
                        _spread((row["matched_robust"] / max(row["robust"], 1e-9) for row in rows), "×"),
                        _spread((row["matched_clean"] / row["clean"] for row in rows), "×"),
                    )
                )
    head = ("network", "peer", "it keeps", "ours keeps", "ours by its, under transforms", "ours by its, clean (aim: 1)")
    return [*lines, *_table(head, table)]


def _equal(results: Results) -> list[str]:
    plan = results["plan"]
    lines = [
        f"## Images per second at {plan['steps_equal']} steps each, {plan['images_equal']} images",
        "",
        "Whole renderings in a warm process, at defaults but for the steps. Ours freezes the network's weights; peers "
        "take the network as it is given, which is with gradients of its weights unless the user freezes them.",
        "",
    ]
    table = []
    for name, network in results["networks"].items():
        ways = dict.fromkeys((row["side"], row["way"]) for row in network["equal"])
        rates = {
            way: [
                row["images_per_second"]
                for row in network["equal"]
                if (row["side"], row["way"]) == way and "images_per_second" in row
            ]
            for way in ways
        }
        best = rates.get((_OURS, "one batch"), [])
        for way in sorted(ways, key=lambda way: (way[0] != _OURS, way)):
            ratio = f"{median(best) / median(rates[way]):.3g}×" if best and rates[way] else "failed"
            table.append((name, *way, _spread(rates[way]), ratio))
    return [*lines, *_table(("network", "side", "how", "images/s", "our batch by this"), table)]


def _memory(results: Results) -> list[str]:
    lines = [
        "## Peak memory",
        "",
        "MB (2**20 bytes) of resident memory at most, above what a fresh process held with the network loaded (VmHWM, "
        "reset then; not `ru_maxrss`, which a process inherits), by images asked for at once, 3 steps. Ours makes at "
        "most as many at once as its plan allows (16 of 224 px on a CPU), whatever is asked.",
        "",
    ]
    batches = results["plan"]["memory_batches"]
    table = []
    for name, network in results["networks"].items():
        for side in dict.fromkeys(row["side"] for row in network["memory"]):
            by_batch = {row["batch"]: row for row in network["memory"] if row["side"] == side}
            cells = [f"{by_batch[n]['peak_mb']:.0f}" if "peak_mb" in by_batch.get(n, {}) else "–" for n in batches]
            table.append((name, side, *cells))
    return [*lines, *_table(("network", "side", *(f"{n} images" for n in batches)), table)]


def _failures(results: Results) -> list[str]:
    lines = []
    for name, network in results["networks"].items():
        found = [(side, error) for side, error in network["errors"].items()]
        found += [(side, error) for block in network["reach"] for side, error in block["errors"].items()]
        found += [(row["side"], row["error"]) for row in network["equal"] + network["memory"] if "error" in row]
        lines += [f"- {name}: {side}: {error}" for side, error in dict.fromkeys(found)]
    return ["## What failed", "", *lines, ""] if lines else []


def write_report(results: Results) -> str:
    """The report, as Markdown."""
    lines = _head(results)
    weights = [f"{name} `{found['layer']}`, weights {found['weights']}" for name, found in results["networks"].items()]
    lines += ["Networks: " + "; ".join(weights) + ".", ""]
    parts = ("reach", _reach), ("reach", _robust), ("equal", _equal), ("memory", _memory)
    for part, section in parts:
        if any(network[part] for network in results["networks"].values()):
            lines += section(results)
    return "\n".join(lines + _failures(results))


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.with_name("report.md").write_text(write_report(json.loads(file.read_text())))
