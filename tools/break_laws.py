"""Break each law of the design on purpose, in a copy of the tree, and see its test fail.

    python tools/break_laws.py            # all of them, about a quarter of a minute each
    python tools/break_laws.py batching   # those whose name holds the word

A test that passes with its law broken proves nothing. This prints one line a breach and exits 1 when one goes unseen.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

TREE = Path(__file__).parents[1]


class Breach(NamedTuple):
    """One way to break a law: in `file`, `old` becomes `new`, and `test` must fail."""

    law: str
    file: str
    old: str
    new: str
    test: str


ASCENT, MODELS = "src/pellucid/ascent", "src/pellucid/models"
OBJECTIVES, GROUPS = "src/pellucid/objectives", "tests/objectives/test_groups.py"
MEASURE = "src/pellucid/measure"
DREAM = "tests/ascent/test_dream.py"
SURVEY = "tests/survey/test_survey.py"
STUDIO = "src/pellucid/app/studio"
LOOP_GROUPS = "tests/ascent/test_groups.py"
LAWS, TAPS = "tests/ascent/test_laws.py", "tests/models/test_taps.py"
ATLAS, SWEEP = "src/pellucid/atlas", "tests/atlas/test_sweep.py"
BREACHES = [
    Breach(
        "1 batching: a mean over the batch instead of a sum",
        f"{ASCENT}/scoring.py",
        "-scores.sum()",
        "-scores.mean()",
        f"{LAWS}::test_batching_does_not_change_an_image",
    ),
    Breach(
        "1 batching: one random draw for the whole batch",
        f"{ASCENT}/scoring.py",
        'draws.child("transform")',
        'draws.rows([0] * len(draws)).child("transform")',
        f"{LAWS}::test_batching_does_not_change_an_image",
    ),
    Breach(
        "1 batching: one step count for the whole batch",
        f"{ASCENT}/optimizers.py",
        "for states in (self._means, self._squares, self._counts):",
        "for states in (self._means, self._squares):",
        f"{LAWS}::test_an_image_that_enters_a_running_batch_is_the_same",
    ),
    Breach(
        "1 batching: an optimiser that remembers who was in the slot before",
        f"{ASCENT}/optimizers.py",
        "for states in (self._means, self._squares, self._counts):",
        "for states in (self._counts,):",
        f"{LAWS}::test_an_image_that_enters_a_running_batch_is_the_same",
    ),
    Breach(
        "1 batching: a start that depends on the slot",
        f"{ASCENT}/slots.py",
        "own = Draws.from_keys(names)",
        'own = Draws.from_keys([f"{name} {row}" for name, row in zip(names, rows, strict=True)])',
        f"{LAWS}::test_batching_does_not_change_an_image",
    ),
    Breach(
        "2 groups: images without a group are one",
        f"{OBJECTIVES}/groups.py",
        "        if group >= 0:\n",
        "        if True:\n",
        f"{GROUPS}::test_images_outside_the_group_are_untouched",
    ),
    Breach(
        "2 groups: short groups filled up with another's image",
        f"{OBJECTIVES}/groups.py",
        "group + group[:1] * (longest",
        "group + [0] * (longest",
        f"{GROUPS}::test_images_outside_the_group_are_untouched",
    ),
    Breach(
        "2 groups: a group that enters in parts",
        f"{ASCENT}/lanes.py",
        "return 1 if group < 0 else",
        "return 1 if True else",
        f"{LOOP_GROUPS}::test_jobs_of_a_group_are_taken_together",
    ),
    Breach(
        "2 groups: a group that leaves in parts",
        f"{ASCENT}/slots.py",
        "slot.ended is None} - {-1}",
        "slot.ended is None and False}",
        f"{LOOP_GROUPS}::test_a_group_leaves_whole",
    ),
    Breach(
        "2 groups: a broken member that stays in its group",
        f"{ASCENT}/jobs.py",
        'self.ended not in ("nonfinite", "dead")',
        "True",
        f"{LOOP_GROUPS}::test_who_counts_as_a_member",
    ),
    Breach(
        "2 groups: terms of other groups",
        f"{ASCENT}/scoring.py",
        "slot.group if slot and term in slot.job.terms else -1",
        "0 if slot else -1",
        f"{LOOP_GROUPS}::test_a_group_changes_no_picture_of_another",
    ),
    Breach(
        "1 batching: one line search for the whole batch",
        f"{ASCENT}/lbfgs.py",
        "too_high = ~(now.f <= start.f + _ARMIJO * t * start.slope)",
        "too_high = (~(now.f <= start.f + _ARMIJO * t * start.slope)).any().expand(len(t))",
        "tests/ascent/test_lbfgs.py::test_a_row_does_not_know_of_its_neighbours",
    ),
    Breach(
        "3 leaks: working on the user's own module",
        f"{MODELS}/private_copy.py",
        "private = copy_without_taps(module)",
        "private = module",
        f"{LAWS}::test_nothing_leaks_into_the_users_module",
    ),
    Breach(
        "3 leaks: hooks that stay",
        f"{MODELS}/taps.py",
        "            handle.remove()",
        "            pass",
        f"{LAWS}::test_nothing_leaks_into_the_users_module",
    ),
    Breach(
        "4 neighbours: moving along with a bad gradient",
        f"{ASCENT}/slots.py",
        "if not (math.isfinite(scores[row]) and math.isfinite(peaks[row])):",
        "if False:",
        f"{LAWS}::test_one_bad_image_spares_its_neighbours",
    ),
    Breach(
        "4 neighbours: no patience for a dead unit",
        f"{ASCENT}/rescue.py",
        "PATIENCE = 16",
        "PATIENCE = 17",
        f"{LAWS}::test_a_unit_that_nothing_reaches_is_dead_after_sixteen_steps_without_gradient",
    ),
    Breach(
        "5 deterministic: keys that differ from run to run",
        f"{ASCENT}/asked.py",
        'name = f"seed {recipe.seed} objective',
        'name = f"{id(seen)} {id(object())} seed {recipe.seed} objective',
        f"{LAWS}::test_the_same_call_gives_the_same_picture_bit_for_bit",
    ),
    Breach(
        "6 import: torch at import",
        "src/pellucid/__init__.py",
        "from typing import TYPE_CHECKING\n",
        "from typing import TYPE_CHECKING\n\nimport torch\n",
        "tests/project/test_import.py",
    ),
    Breach(
        "7 taps: keeping a tensor that is overwritten later",
        f"{MODELS}/taps.py",
        "kept = kept.clone() if self.missing else kept",
        "pass",
        TAPS,
    ),
    Breach(
        "7 taps: folding a convolution that is looked at",
        f"{MODELS}/folding.py",
        " and names[part] not in kept",
        "",
        "tests/models/test_folding.py",
    ),
    Breach(
        "7 taps: a ReLU taken behind max-pooling though something else reads it",
        f"{MODELS}/delayed_relu.py",
        "if relus.isdisjoint(self._refused) and all(",
        "if all(",
        "tests/models/test_delayed_relu.py",
    ),
    Breach(
        "7 taps: folding a convolution that two read",
        f"{MODELS}/folding.py",
        "self._readers.get(place) == [F.batch_norm]",
        "F.batch_norm in self._readers.get(place, [])",
        "tests/models/test_folding.py",
    ),
    Breach(
        "7 taps: a shared module's calls are one",
        f"{MODELS}/taps.py",
        "            self._calls[module_name] += 1",
        "            self._calls[module_name] = 1",
        TAPS,
    ),
    Breach(
        "no grey pictures: no rescue",
        f"{ASCENT}/rescue.py",
        "if not self.enabled or",
        "if True or",
        f"{LAWS}::test_a_unit_that_is_off_at_the_start_is_woken",
    ),
    Breach(
        "photos: compared as they lie, however the picture is moved",
        f"{ASCENT}/scoring.py",
        "self._companions.beside(activations, self.model, moves, self._from_range, self.in_range)",
        "activations",
        "tests/ascent/test_companions.py",
    ),
    Breach(
        "photos: each picture beside another's photo",
        f"{MODELS}/taps.py",
        "self.places[row, name] for row, name",
        "0 * self.places[row, name] for row, name",
        "tests/ascent/test_companions.py",
    ),
    Breach(
        "no grey pictures: layers that rest are left",
        f"{ASCENT}/rescue.py",
        "return sum(history[-_LAST:]) / _LAST <= _GAIN * history[0]",
        "return False",
        "tests/ascent/test_resting.py",
    ),
    Breach(
        "no grey pictures: channels that are best when flat start again, too",
        f"{ASCENT}/slots.py",
        "slot.job.objective.can_rest",
        "True",
        "tests/ascent/test_resting.py",
    ),
    Breach(
        "dream: what remains at an edge is left out",
        f"{ASCENT}/tiles.py",
        "gaps = -(-side // tile) - 1",
        "gaps = side // tile - 1",
        "tests/ascent/test_tiles.py::test_tiles_cover_every_pixel_once_in_all",
    ),
    Breach(
        "dream: overlaps counted twice",
        f"{ASCENT}/tiles.py",
        "+= tile * shares",
        "+= tile",
        f"{DREAM}::test_the_gradient_by_tiles_is_the_whole_pictures_where_surroundings_do_not_matter",
    ),
    Breach(
        "dream: a gradient without its length taken out",
        f"{ASCENT}/dream.py",
        "(self.recipe.rate / mean)",
        "self.recipe.rate",
        f"{DREAM}::test_the_gradient_by_tiles_is_the_whole_pictures_where_surroundings_do_not_matter",
    ),
    Breach(
        "dream: an octave that forgets what was dreamt before",
        f"{ASCENT}/dream.py",
        "image = (base + resized(self.detail, tiles.size)).clamp(0, 1)",
        "image = base",
        f"{DREAM}::test_a_dream_raises_its_layer_manyfold_and_octaves_raise_it_more",
    ),
    Breach(
        "dream: the whole picture is enlarged, and the photo's detail lost",
        f"{ASCENT}/dream.py",
        "            image = (base + resized(self.detail, tiles.size)).clamp(0, 1)\n",
        "            image = resized(image if number else base, tiles.size).clamp(0, 1)\n",
        f"{DREAM}::test_the_photo_stays_where_the_network_has_nothing_to_say",
    ),
    Breach(
        "dream: draws that forget the seed",
        f"{ASCENT}/dream.py",
        'Draws.from_keys([f"seed {recipe.seed}"])',
        'Draws.from_keys(["seed"])',
        f"{DREAM}::test_the_same_seed_gives_the_same_picture",
    ),
    Breach(
        "viewer: a page of another host is answered",
        f"{STUDIO}/guard.py",
        "return name in self.hosts or",
        "return True or",
        "tests/app/test_viewer_routes.py::test_other_host_names_are_refused",
    ),
    Breach(
        "viewer: an atlas's word has code run",
        f"{STUDIO}/source.py",
        "return spec in _EMBEDDED or",
        "return True or",
        "tests/app/test_studio_jobs.py::test_an_atlas_alone_has_no_code_run",
    ),
    Breach(
        "viewer: a page names a file to read",
        f"{STUDIO}/wishes.py",
        "if term.kind not in _KINDS:",
        "if not term.kind:",
        "tests/app/test_studio_jobs.py::test_a_page_asks_for_no_more_than_it_may",
    ),
    Breach(
        "guide: the mean over the guide's positions instead of the best",
        f"{OBJECTIVES}/guides.py",
        "(z * y[:, _best(z.detach(), y)].movedim(0, 1)).sum(1).mean(1)",
        "(z * y.mean(1)[:, None]).sum(1).mean(1)",
        "tests/objectives/test_guides.py::test_a_guide_by_loops",
    ),
    Breach(
        "atlas: what is gone on with is planned for what is left",
        f"{ATLAS}/chunk.py",
        "slots_for=self.slots",
        "slots_for=0",
        f"{SWEEP}::test_what_is_left_is_rendered_in_as_many_slots_as_all",
    ),
    Breach(
        "atlas: another recipe is let in",
        f"{ATLAS}/card.py",
        "if changed := next((name for name in own if own[name] != new[name]), None):",
        "if changed := None:",
        f"{SWEEP}::test_a_changed_recipe_or_network_does_not_mix",
    ),
    Breach(
        "atlas: a shard is believed without its checksum",
        f"{ATLAS}/stock.py",
        "if not intact(name, data):",
        "if False:",
        "tests/app/test_atlas_commands.py::test_damage_is_named_and_repaired",
    ),
    Breach(
        "atlas: a second sweep is let in",
        f"{ATLAS}/lease.py",
        "if not _is_dead(self.place, holder):",
        "if False:",
        "tests/atlas/test_lease.py::test_a_second_sweep_is_refused_and_told_who_is_at_work",
    ),
    Breach(
        "atlas: the lease of a dead process keeps others out",
        f"{ATLAS}/lease.py",
        "if gone or not holder.machine:",
        "if not holder.machine:",
        "tests/atlas/test_lease.py::test_the_lease_of_a_process_that_was_killed_is_taken_over_at_once",
    ),
    Breach(
        "atlas: a bad unit takes the others with it",
        f"{ATLAS}/chunk.py",
        "return self.render(left[:middle]) and self.render(left[middle:])",
        "return False",
        f"{SWEEP}::test_a_bad_unit_spares_the_others",
    ),
    Breach(
        "measure: an image's correlation with itself counts",
        f"{MEASURE}/paths.py",
        "same = (among.sum() - among.diagonal().sum()) / (count * (count - 1))",
        "same = among.mean()",
        "tests/measure/test_measures.py::test_path_similarity_by_loops_leaves_self_pairs_out",
    ),
    Breach(
        "measure: robustness under what was trained against",
        f"{MEASURE}/strength.py",
        'if word.partition(":")[0] not in kinds',
        "if word",
        "tests/measure/test_measures.py::test_what_was_used_while_optimising_is_held_out",
    ),
    Breach(
        "measure: a re-initialised network that keeps what it learnt",
        f"{MEASURE}/randomisation.py",
        "                    reset()\n",
        "                    pass\n",
        "tests/measure/test_measures.py::test_a_reinitialised_network_is_told_apart",
    ),
    Breach(
        "explain: an edit that the network does not go on from",
        f"{MODELS}/taps.py",
        "return None if edited is value else with_first_tensor(result, edited)",
        "return None",
        "tests/models/test_edits.py::test_what_is_replaced_goes_on_through_the_network",
    ),
    Breach(
        "explain: weight x activation where the rest is not affine",
        "src/pellucid/explain/contributions.py",
        "if off > _AFFINE * slopes[1].abs().amax():",
        "if False:",
        "tests/explain/test_attribution.py::test_weight_times_activation_is_exact_and_says_where_it_is_not",
    ),
    Breach(
        "explain: what a unit feeds, with closed rectifiers",
        "src/pellucid/explain/feeding.py",
        "with IdentityReLU():",
        "with torch.enable_grad():",
        "tests/explain/test_feeding.py::test_weights_come_back_through_norm_pooling_and_closed_rectifiers",
    ),
    Breach(
        "explain: a closed form that does not go to the corner",
        "src/pellucid/explain/closed_forms.py",
        "torch.where(seen, slope.sign(), 0.0)",
        "torch.where(seen, slope / slope.abs().amax(), 0.0)",
        "tests/explain/test_similarity.py::test_no_picture_beats_the_closed_form",
    ),
    Breach(
        "survey: a pass that goes on behind the wrong picture",
        "src/pellucid/survey/checkpoint.py",
        "self.stop = batch.stop",
        "self.stop = batch.stop + 1",
        f"{SURVEY}::test_a_pass_that_was_cut_off_ends_the_same",
    ),
    Breach(
        "survey: peaks behind the rectifier, where units that are off are all equal",
        "src/pellucid/survey/looks.py",
        "        self._known_peaks.keep(result, peaks)\n",
        "",
        f"{SURVEY}::test_the_highest_and_lowest_are_the_known_pictures",
    ),
    Breach(
        "survey: a NaN that a rectifier by bits loses",
        "src/pellucid/survey/looks.py",
        " and not any(part.values.isnan().any() for part in peaks)",
        "",
        "tests/survey/test_looks.py::test_looks_change_nothing_that_the_network_computes",
    ),
    Breach(
        "survey: what is known of a tensor that was written over since",
        "src/pellucid/survey/looks.py",
        " and tensor._version == version",
        "",
        f"{SURVEY}::test_a_layer_and_its_rectifier_share_peaks_and_not_means",
    ),
    Breach(
        "survey: a map that waited for its look, and was written over meanwhile",
        "src/pellucid/survey/looks.py",
        "            raise Overwritten\n        value",
        "            pass\n        value",
        "tests/survey/test_looks.py::test_a_large_map_is_seen_as_it_was",
    ),
    Breach(
        "audit: a silenced unit that goes on speaking",
        "src/pellucid/explain/class_audit.py",
        "        muted[(slice(None), slice(None), silenced) if z.ndim == 3 else (slice(None), silenced)] = 0\n",
        "",
        "tests/explain/test_audit.py::test_ablation_is_that_of_a_forward_with_the_unit_off",
    ),
    Breach(
        "inverse: the answer is the response",
        "src/pellucid/inverse/solve.py",
        "    return Solution(plain, second, found,",
        "    return Solution(response / response.norm(), second, response / response.norm(),",
        "tests/inverse/test_invert.py::test_a_smooth_networks_objectives_are_found_to_a_hundredth_of_a_degree",
    ),
    Breach(
        "inverse: the cosine term is forgotten in the gradient",
        "src/pellucid/inverse/linear_algebra.py",
        "return (cosine_power + 1) * identity - cosine_power * torch.outer(unit, unit)",
        "return identity",
        "tests/inverse/test_mathematics.py::test_the_gradient_is_the_jacobian_times_m_times_the_objective",
    ),
    Breach(
        "inverse: small gradients instead of cancelled ones",
        "src/pellucid/inverse/solve.py",
        "alone = torch.diag(gram.diagonal())",
        "alone = torch.eye(len(gram), dtype=torch.float64)",
        "tests/inverse/test_mathematics.py::test_a_unit_that_hardly_moves_anything_is_not_the_answer",
    ),
    Breach(
        "inverse: the mean Jacobian counts as certain",
        "src/pellucid/inverse/solve.py",
        "return alone if spread is None else spread + _LEAST_SPREAD * alone",
        "return alone",
        "tests/inverse/test_mathematics.py::test_what_is_uncertain_counts_less",
    ),
    Breach(
        "inverse: the spread of one pair instead of their mean's",
        "src/pellucid/inverse/jacobians.py",
        "(square / len(pairs) - gram(one)) / (len(pairs) - 1)",
        "square / len(pairs) - gram(one)",
        "tests/inverse/test_mathematics.py::test_the_spread_is_the_error_that_a_mean_jacobian_is_left_with",
    ),
    Breach(
        "compare: units that a picture does not excite are candidates",
        "src/pellucid/inverse/reading.py",
        "return (rise >= EXCITED * most.clamp(min=0)) & (rise > 0) | (rise == most)",
        "return rise == rise",
        "tests/inverse/test_reading.py::test_excited_is_what_rises_by_a_quarter_of_the_most",
    ),
    Breach(
        "compare: both networks on the scales of the first",
        "src/pellucid/inverse/comparing.py",
        "zip(self.models, self.layers, scales, strict=True)",
        "zip(self.models, self.layers, (scales[0], scales[0]), strict=True)",
        "tests/inverse/test_comparing.py::test_pictures_find_the_permutation",
    ),
    Breach(
        "inverse: units that fire but here and there stay in",
        "src/pellucid/inverse/answers.py",
        "_SILENT, _HARDLY = 1e-4, 0.1",
        "_SILENT, _HARDLY = 0.0, 0.0",
        "tests/inverse/test_invert.py::test_a_unit_that_fires_but_here_and_there_and_hardly_moves_is_off",
    ),
    Breach(
        "inverse: dead units stay in",
        "src/pellucid/inverse/answers.py",
        "list(evidence.dead)",
        "list[int]()",
        "tests/inverse/test_invert.py::test_dead_units_are_named_and_left_out",
    ),
    Breach(
        "inverse: kernels are merged without regard to how many samples they stand for",
        "src/pellucid/inverse/subspaces.py",
        "share = c2 / total",
        "share = 0.5",
        "tests/inverse/test_critical_spaces.py::test_merging_goes_the_way_that_the_counts_say",
    ),
    Breach(
        "noise: every step climbs the score at the picture itself",
        f"{ASCENT}/slots.py",
        "if not self.recipe.parameter_noise:",
        "if True:",
        "tests/ascent/test_parameter_noise.py::test_the_mean_over_noise_is_what_is_climbed",
    ),
]


def is_seen(breach: Breach) -> bool:
    """Whether the test fails in a copy of the tree with the law broken."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tree"
        ignore = shutil.ignore_patterns(".*", "__pycache__", "demo", "dist", "docs", "benchmarks")
        shutil.copytree(TREE, copy, ignore=ignore)
        broken = copy / breach.file
        text = broken.read_text()
        if text.count(breach.old) != 1:
            raise SystemExit(f"{breach.law}: {breach.old!r} stands {text.count(breach.old)} times in {breach.file}")
        broken.write_text(text.replace(breach.old, breach.new))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", breach.test]
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(copy / "src")}
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            raise SystemExit(f"{breach.law}: {breach.test} did not run\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.returncode == 1


def main() -> None:
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    unseen = 0
    for breach in BREACHES:
        if word in breach.law:
            seen = is_seen(breach)
            unseen += not seen
            print(f"{'seen  ' if seen else 'UNSEEN'}  {breach.law}", flush=True)
    raise SystemExit(1 if unseen else 0)


if __name__ == "__main__":
    main()
