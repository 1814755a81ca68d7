"""`trajforecast rollout` in the real simulator: the expert solves it, a run goes on where it was, what is refused."""

import json
from dataclasses import replace

import pytest
from tiny_policy import write_policy

from trajforecast_model import Forecaster
from trajforecast_model.cli import main
from trajforecast_model.evaluation.rollouts import runner

MILK = 7
SEED = 100_000


def roll_out(*arguments) -> int:
    return main(["rollout", *map(str, arguments)])


@pytest.mark.slow
def test_the_expert_solves_it_and_the_same_command_does_nothing_twice(tmp_path, capsys, monkeypatch):
    out = tmp_path / "expert.json"
    command = ["--policy", "expert", "--tasks", MILK, "--seed", SEED, "--resets", 1, "--out", out]
    assert roll_out(*command, "--film", f"{MILK}:{SEED}") == 0
    report = json.loads(out.read_text())
    assert report["success"] == 1.0 and report["complete"]
    (told,) = report["episodes"]
    reached = [told["phases"][phase] for phase in ("approached", "grasped", "transported", "placed")]
    assert reached == sorted(reached) and reached[0] > 5 and told["steps"] == reached[-1] < 300
    assert "1 of 1" in capsys.readouterr().out
    assert (tmp_path / f"expert_{MILK}_{SEED}.mp4").read_bytes()[4:8] == b"ftyp"

    monkeypatch.setattr(runner, "run_in_processes", lambda _worker, next_job, _processes: iter(()))  # nobody is asked
    assert roll_out(*command) == 0
    assert json.loads(out.read_text())["episodes"] == report["episodes"]
    assert roll_out(*command, "--horizon", 200) == 2
    assert "choose another --out" in capsys.readouterr().err


@pytest.mark.slow
def test_a_policy_acts_the_same_whatever_was_simulated_before(tiny_checkpoint, tmp_path):
    policy = write_policy(tmp_path / "policy", tiny_checkpoint)
    worker = runner.RolloutWorker(runner.RolloutSettings(str(policy), horizon=12))
    task = runner.find_task("libero_object", MILK)
    first, _, again = (worker(runner.EpisodeJob(task, seed, None)) for seed in (SEED, SEED + 1, SEED))
    assert first == again and not first["success"] and first["steps"] == 12
    ends = worker._environment.state()
    worker(runner.EpisodeJob(task, SEED, None))
    assert (worker._environment.state() == ends).all()
    # Swapped forecasts are another episode's: the policy sees the same pictures and does something else.
    worker._settings = replace(worker._settings, swapped=True)
    worker(runner.EpisodeJob(task, SEED, None))
    assert (worker._environment.state() != ends).any()


@pytest.mark.slow
def test_two_processes_report_what_one_does(tiny_checkpoint, tmp_path, capsys):
    policy, out = write_policy(tmp_path / "policy", tiny_checkpoint, "none"), tmp_path / "r.json"
    command = ["--policy", policy, "--tasks", f"0,{MILK}", "--perturb", "object", "--horizon", 8, "--out", out]
    assert roll_out(*command, "--resets", 2, "--workers", 2) == 0
    report = json.loads(out.read_text())
    assert report["complete"] and report["settings"]["perturb"] == "object"
    assert {name: row["of"] for name, row in report["per_task"].items()} == {
        runner.find_task("libero_object", number).name: 2 for number in (0, MILK)
    }
    assert [episode["seed"] for episode in report["episodes"]] == [SEED, SEED + 1] * 2

    assert roll_out(*command, "--resets", 2, "--workers", 1) == 0, "nothing is left to do"
    assert json.loads(out.read_text())["episodes"] == report["episodes"]
    out.unlink()
    assert roll_out(*command[:3], MILK, *command[4:], "--resets", 1) == 0
    assert json.loads(out.read_text())["episodes"] == [report["episodes"][2]]
    assert roll_out(*command[:-4], "--out", out) == 2
    assert "choose another --out" in capsys.readouterr().err


@pytest.mark.slow
def test_the_follower_needs_a_forecaster_alone(tiny_checkpoint, tmp_path, capsys):
    command = ["--policy", "follower", "--tasks", MILK, "--resets", 1, "--horizon", 6, "--out", tmp_path / "r.json"]
    assert roll_out(*command, "--forecaster", tiny_checkpoint, "--every", 2, "-k", 2) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["episodes"][0]["steps"] == 6
    told = report["settings"]
    assert (told["policy"], told["every"], told["samples"]) == ("follower", 2, 2)
    assert roll_out(*command, "--forecaster", tiny_checkpoint, "--every", 2, "-k", 4) == 2
    assert "choose another --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--swapped"], "follower would ignore"),
        (["--blend", "0.5"], "follower would ignore"),
        (["--every", "13"], "expected 1 to 12"),
        (["--every", "0"], "expected 1 to 12"),
        (["-k", "0"], "forecasting.samples"),
        (["--forecaster", "nowhere"], "nowhere"),
    ],
)
def test_what_the_follower_cannot_do_is_refused(tiny_checkpoint, tmp_path, capsys, arguments, complaint):
    given = arguments if "--forecaster" in arguments else ["--forecaster", tiny_checkpoint, *arguments]
    assert roll_out("--policy", "follower", "--tasks", 0, *given, "--out", tmp_path / "r.json") == 2
    assert complaint in capsys.readouterr().err


def test_a_report_that_another_run_writes_is_refused(tmp_path, capsys):
    with runner._owned(tmp_path / "r.json"):
        assert roll_out("--policy", "expert", "--tasks", 0, "--out", tmp_path / "r.json") == 2
    assert "in use by process" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--tasks", "99"], "tasks 0 to 9"),
        (["--tasks", "0", "--resets", "0"], "--resets 0"),
        (["--tasks", "0", "--workers", "0"], "--workers 0"),
        (["--tasks", "0", "--film", "1:100000"], "not among those"),
        (["--tasks", "0", "--every", "4"], "expert would ignore"),
        (["--tasks", "0", "--forecaster", "libero_object_tiny"], "expert would ignore"),
        (["--tasks", "0", "--against", "nothing.json"], "does not exist"),
        (["--suite", "libero_90", "--tasks", "0", "--perturb", "swap"], "LIBERO-PRO has no 'swap' of libero_90 task 0"),
    ],
)
def test_what_cannot_be_rolled_out_is_refused_before_the_work(tmp_path, capsys, arguments, complaint):
    assert roll_out("--policy", "expert", *arguments, "--out", tmp_path / "r.json") == 2
    assert complaint in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("tracks", "arguments", "complaint"),
    [
        ("none", ["--swapped"], "told of no tracks"),
        ("none", ["-k", "4"], "told of no tracks"),
        ("forecast", ["-k", "0"], "forecasting.samples"),
        ("forecast", ["--every", "17"], "expected 1 to 16"),
        ("forecast", ["--blend", "1.5"], "execution.blend"),
        ("exact", [], "does not know"),
        ("forecast", ["--forecaster", "libero_object_tiny"], "brings its own"),
    ],
)
def test_what_a_policy_cannot_do_is_refused(tiny_checkpoint, tmp_path, capsys, tracks, arguments, complaint):
    policy = write_policy(tmp_path / "policy", tiny_checkpoint, tracks)
    assert roll_out("--policy", policy, "--tasks", 0, *arguments, "--out", tmp_path / "r.json") == 2
    assert complaint in capsys.readouterr().err


def test_a_forecaster_is_no_policy_and_a_policy_no_forecaster(tiny_checkpoint, tmp_path, capsys):
    policy = write_policy(tmp_path / "policy", tiny_checkpoint)
    with pytest.raises(ValueError, match="is a policy, which acts"):
        Forecaster.from_pretrained(policy)
    assert roll_out("--policy", tiny_checkpoint, "--tasks", 0, "--out", tmp_path / "r.json") == 2
    assert "is not a policy" in capsys.readouterr().err
