"""The recsim command: what it prints and writes, how it is refused, how it is left."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pathlib
import re
import shlex
import signal
import struct
import subprocess
import sys
import time

import gin
import pytest
from support import CHECKOUT

import recsim
from recsim import cli, registry
from recsim.experiments import agent_run, experiment

pytestmark = pytest.mark.usefixtures("empty_folder")

QUICK = ["--episodes", "3", "--steps", "20"]


def recsim_command(*arguments, env=None, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "recsim", *arguments],
        capture_output=True,
        env={**os.environ, **(env or {})},
        check=False,
        **kwargs,
    )


def new_files():
    return sorted(str(path.relative_to(".")) for path in pathlib.Path().rglob("*"))


def test_run_prints_a_table_and_where_its_files_are(capsys):
    assert cli.main(["run", *QUICK]) == 0
    out, err = capsys.readouterr()
    (folder,) = pathlib.Path("recsim_runs").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d{6}_interest_exploration", folder.name)
    lines = out.splitlines()
    assert lines[0] == "10 candidates, slates of 2, seed 0; 3 episodes of up to 20 steps"
    assert lines[1] == "interest_exploration: 1 seed, 3 users"
    for agent in ("cluster_bandit_ucb1", "random"):
        measures = next(line for line in lines if line.startswith(agent))
        assert re.match(rf"{agent} +\d+\.\d ± \d+\.\d ", measures)
    assert "± half the 95% interval of the mean over users" in out
    assert lines[-1].startswith(f"Files: {folder} (report.html, results.png, results.json, ")
    assert re.fullmatch(r"Experiment: 120 of 120 steps .*\n", err)
    files = [file.strip() for file in re.search(r"\((.*), runs\)$", lines[-1])[1].split(",")]
    for file in (*files, "interest_exploration/seed_0/random/eval_3/returns_0"):
        assert (folder / file).is_file()


def test_the_same_seed_prints_the_same_table(capsys):
    def table(*arguments):
        cli.main(["run", *QUICK, "--quiet", *arguments])
        out, err = capsys.readouterr()
        assert err == ""
        table = re.sub(r" +", " ", out.rpartition("Files:")[0])
        return re.sub(r" [\d,]+$", " (speed)", table, flags=re.M)

    first = table("--seed", "5")
    assert first.count("(speed)") == 2
    assert table("--seed", "5") == first
    assert table("--seed", "6") != first


def test_every_option_counts():
    pathlib.Path("settings.gin").write_text("Runner.max_steps_per_episode = 9\n")
    cli.main(
        ["run", "--environment=long_term_satisfaction", "--agent", "tabular_q", "--agent", "random"]
        + ["--num-candidates=4", "--slate-size=1", "--no-resample", "--episodes=2"]
        + ["--train-steps=30", "--seed=3", "--output=out", "--gin_files", "settings.gin"]
        + ["--gin-bindings", "LTSStaticUserSampler.sensitivity = 0.5", "--quiet"]
    )
    tasks = json.loads(pathlib.Path("out/results.json").read_text())["provenance"]["tasks"]
    assert len(tasks) == 6  # Three seeds, since an agent learns.
    assert tasks["long_term_satisfaction/seed_3/tabular_q"]["settings"] == {
        "recsim_version": recsim.__version__,
        "environment": "long_term_satisfaction",
        "agents": ["tabular_q"],
        "num_candidates": 4,
        "slate_size": 1,
        "resample_documents": False,
        "seed": 3,
        "episodes": 2,
        "max_steps_per_episode": 9,
        "training_steps": {"tabular_q": 36},  # Whole episodes.
        "training_updates": {"tabular_q": 36},
        "min_replay_history": {},
        "training": {
            "tabular_q": {
                "num_iterations": 1,
                "max_training_steps": 30,
                "max_steps_per_episode": 9,
                "num_envs": 1,
            }
        },
        "gin_bindings": {
            "LTSStaticUserSampler.sensitivity": "0.5",
            "Runner.max_steps_per_episode": "9",
        },
    }
    assert gin.config_str() == ""  # The bindings were those of the command.


@pytest.mark.parametrize("engine", [[], ["--num-envs", "3"]], ids=["single-user", "vectorized"])
def test_bindings_of_scenarios_and_agents_change_the_results(engine):
    returns_file = "interest_exploration/seed_0/cluster_bandit_ucb1/eval_3/returns_0"

    def returns(name, *bindings):
        arguments = ["run", *QUICK, *engine, "--quiet", "--output", name]
        arguments += ["--agent", "cluster_bandit_ucb1"]
        cli.main([*arguments, *(["--gin-bindings", *bindings] if bindings else [])])
        gin.clear_config()
        return json.loads(pathlib.Path(name, returns_file).read_text())

    plain = returns("plain")
    assert returns("agent", "ClusterBanditAgent.ci_scaling = 0.0") != plain
    assert returns("scenario", "IETopicDocumentSampler.topic_quality_mean = (3.0, 3.0)") != plain


@pytest.mark.parametrize(
    "arguments",
    [
        ["--gin-bindings", "scaling = 0.1", "ClusterBanditAgent.ci_scaling = %scaling"],
        # Of a file for other runs, say: an option takes precedence over them.
        ["--gin-bindings", "Runner.max_steps_per_episode = 7", "EvalRunner.max_eval_episodes = 9"]
        + ["--gin-allow-unused"],
        ["--gin-bindings", "LTSStaticUserSampler.sensitivity = 0.1", "--gin-allow-unused"],
    ],
)
def test_bindings_that_are_used_or_may_be_unused_are_let_pass(arguments):
    assert cli.main(["run", *QUICK, "--quiet", *arguments]) == 0


def test_a_benchmark_of_all_agents_leaves_out_those_that_fit_nowhere(capsys):
    arguments = "bench --agent all --environment interest_exploration --size 3x2 --users 1"
    assert cli.main([*arguments.split(), "--rounds", "1", "--seconds", "0.001"]) == 0
    out, err = capsys.readouterr()
    assert "full_slate_q" in out and "slate_topk_sarsa" not in out
    assert re.search("^Left out, as they fit nowhere here: .*slate_topk_sarsa.*\\.$", err, re.M)
    assert "full_slate_q" not in err


def test_folders_of_runs_in_the_same_second_are_different(monkeypatch):
    class Stopped(cli.run.datetime.datetime):
        @classmethod
        def now(cls):
            return cls(2026, 1, 31, 12, 0, 0)

    monkeypatch.setattr(cli.run.datetime, "datetime", Stopped)
    assert [cli.run.fresh_folder("lts") for _ in range(3)] == [
        os.path.join("recsim_runs", f"2026-01-31_120000_lts{number}") for number in ("", "_2", "_3")
    ]


def test_help_names_the_defaults(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["run", "--help"])
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    steps = agent_run.EVAL_DEFAULTS["max_steps_per_episode"]
    episodes = agent_run.EVAL_DEFAULTS["max_eval_episodes"]
    training = (
        agent_run.TRAIN_DEFAULTS["max_training_steps"] * agent_run.TRAIN_DEFAULTS["num_iterations"]
    )
    assert agent_run.TRAIN_DEFAULTS["max_steps_per_episode"] == steps
    for option, default in [
        ("--environment NAME", "interest_exploration"),
        ("--agent NAME", "cluster_bandit_ucb1 random"),
        ("--num-candidates N", 10),
        ("--slate-size N", 2),
        ("--steps N", steps),
        ("--episodes N", episodes),
        ("--train-steps N", training),
    ]:
        assert re.search(rf"{option}[^)]*\(default: {default}\)", text), option
    assert "recsim run --agent cluster_bandit_ts greedy_pctr random --seeds 10" in text


@pytest.mark.parametrize(
    "command",
    ["", "run", "reproduce", *(f"reproduce {name}" for name in registry.REPRODUCTIONS), "bench"],
)
def test_help_fits_the_terminal(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([*command.split(), "--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_help_and_list_are_light(tmp_path):
    for arguments in (["--help"], ["run", "--help"], ["list"], ["--version"]):
        code = (
            "import sys\nfrom recsim import cli\n"
            f"try: cli.main({arguments!r})\nexcept SystemExit: pass\n"
            "heavy = {'gin', 'gym', 'scipy', 'tensorflow', 'tqdm'} & set(sys.modules)\n"
            "assert not heavy, heavy"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_list_shows_everything_in_a_line_each(capsys):
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    for entries in (registry.ENVIRONMENTS, registry.AGENTS, registry.REPRODUCTIONS):
        for name, entry in entries.items():
            assert re.search(rf"^  {name} +{re.escape(entry.description)}$", out, re.M)
    assert max(map(len, out.splitlines())) <= 100


def test_version_and_no_command(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"recsim {recsim.__version__}\n"
    assert cli.main([]) == 0
    assert (
        "{run,watch,reproduce,leaderboard,bench,checkpoints,ope,fit,list}"
        in capsys.readouterr().out
    )


BAD_INPUT = {
    "run --slate-sise 3": r"no option '--slate-sise'\. Did you mean '--slate-size'\?",
    "run --slate_sise=3": "Did you mean '--slate-size'",
    "run --gin-binding x": "Did you mean '--gin-bindings'",
    "run --agentz random": "no option '--agentz'. Did you mean '--agent",
    "run --seeds 0": "--seeds: must be an integer >= 1, got '0'",
    "run --shard 3/2": "--shard: must be I/N with 1 <= I <= N, got '3/2'",
    "run --shard 1/2": "--shard needs --output",
    "run --sweep ci_scaling=1": "must be such as ClusterBanditAgent.ci_scaling=0.1,0.5,1",
    "run --sweep ClusterBanditAgent.ci_scale=1": "'ClusterBanditAgent.ci_scale' has no effect",
    "run --agent random --sweep ClusterBanditAgent.ci_scaling=1": "no ClusterBanditAgent is made",
    "run --sweep ClusterBanditAgent.ci_scaling=1 ClusterBanditAgent.ci_scaling=2": (
        "--sweep has ClusterBanditAgent.ci_scaling twice: give all its values at once"
    ),
    "run --shard 3/3 --output parts": "shard must be of as many parts as there are tasks at most",
    "run --agent nosuch:Agent": "'nosuch:Agent' cannot be imported: .*No module named 'nosuch'",
    "run --agent nosuch.py:Agent": "there is no file '.*nosuch.py'",
    "run --rerun nosuch.json": "No such file or directory",
    "run --rerun a_file": "a_file' is not a record of results",
    "run --rerun a_file --seeds 3": "leave out seeds",
    "run a_file": "a_file', line 1: an experiment is a mapping",
    "--verison": "Did you mean '--version'",
    "rnu": "invalid choice: 'rnu'.*run.*list",
    "run random": "unexpected argument 'random'",
    "run --agent": "argument --agent/--agents: expected at least one argument",
    "run --agent randm": "no agent 'randm'. Did you mean 'random'",
    "run --agent random random": "names that differ, got 'random' twice",
    "run --environment interest_evolutoin": "Did you mean 'interest_evolution'",
    "run --agent greedy_pctr --environment interest_evolution": "avg_user_state",
    "run --agent cluster_bandit_ts --environment long_term_satisfaction": "'cluster_id'",
    "run --agent cluster_bandit_ts --environment interest_evolution": "agent reads by name",
    "run --slate-size 11": "slate_size must be at most num_candidates",
    "run --slate-size 0": "--slate-size: must be an integer >= 1, got '0'",
    "run --num-candidates -3": "--num-candidates: must be an integer >= 1, got '-3'",
    "run --steps 1.5": "--steps: must be an integer >= 1, got '1.5'",
    "run --episodes many": "--episodes: must be an integer >= 1, got 'many'",
    "run --seed -1": r"--seed: must be in \[0, 4294967295\], got '-1'",
    "run --seed 4294967296": "--seed: must be in",
    "run --gin-files missing.gin": "must be a file that can be read, got 'missing.gin'",
    "run --gin-bindings Runner.max_step=3": "Did you mean 'max_steps_per_episode'",
    "run --gin-bindings Runer.max_steps_per_episode=3": "Did you mean 'Runner'",
    "run --gin-bindings nonsense": "expected ':' or '='",
    "run --gin-bindings Runner.max_steps_per_episode=0": "must be an integer >= 1, got 0",
    "run --train-steps 4": "--train-steps has no effect: of cluster_bandit_ucb1, random none is",
    "run --environment interest_evolution --agent full_slate_q --train-steps 4": (
        "A training of 4 steps is too short for full_slate_q, which makes no update in its first 4:"
    ),
    "run --environment interest_evolution --agent slate_topk_sarsa --train-steps 1 --num-envs 9": (
        r"A training of 9 steps \(1 for each of 9 users\) is too short for slate_topk_sarsa"
    ),
    "run --gin-bindings LTSStaticUserSampler.sensitivity=0.1": (
        "'LTSStaticUserSampler.sensitivity' has no effect: no LTSStaticUserSampler is made"
    ),
    "run --num-envs 3 --gin-bindings DQNAgent.gamma=0.5": "'DQNAgent.gamma' has no effect",
    "run --gin-bindings AbstractClickBanditLayer.ci_scaling=0.1": (
        "gives AbstractClickBanditLayer this argument itself. Nearest are: "
        "ClusterBanditAgent.ci_scaling"
    ),
    "run --gin-bindings Runner.progress=False": "'Runner.progress' has no effect",
    "run --episodes 2 --gin-bindings EvalRunner.max_eval_episodes=1": (
        "'EvalRunner.max_eval_episodes' has no effect: episodes=2 takes precedence over it"
    ),
    "run --steps 3 --gin-bindings Runner.max_steps_per_episode=7": "steps=3 takes precedence",
    "run --agent tabular_q --train-steps 60 --gin-bindings TrainRunner.max_training_steps=2": (
        "'TrainRunner.max_training_steps' has no effect: train_steps=60 takes precedence over it"
    ),
    "run --agent random --gin-bindings ClusterBanditAgent.ci_scaling=5": (
        "no ClusterBanditAgent is made for what is run. It is for cluster_bandit_ucb1, cluster_b"
    ),
    "run --gin-bindings TrainRunner.max_training_steps=5": (
        r"no TrainRunner is made for what is run. It is for such agents as tabular_q, [^.]*\."
    ),
    "run --gin-bindings LTSStaticUserSampler.sensitivity=1": "for the environment long_term_satisf",
    "run --gin-bindings ClusterBanditAgent.ci_scalign=5": (
        "'ClusterBanditAgent.ci_scalign' has no effect: .* Did you mean 'ci_scaling'"
    ),
    "run --num-envs 3 --gin-bindings ClusterBanditAgent.ci_scalign=5": (
        "'ClusterBanditAgent.ci_scalign' has no effect: .* Did you mean 'ci_scaling'"
    ),
    "run --gin-bindings TabularQAgent.learning_rat=0.5": (
        r"learning_rat=0.5 TabularQAgent is not configurable in gin: give its arguments in code\."
    ),
    "run --gin-bindings VectorSlateDecompQAgent.gamma=0.5": "bind those of SlateDecompQAgent",
    "run --gin-bindings other/ClusterBanditAgent.ci_scaling=0.1": "made in the scope 'other'",
    "run --gin-bindings scaling=0.1": "'scaling' has no effect: no value that is used refers to",
    "run --gin-bindings 'import nosuch'": "No module named 'nosuch'",
    "run --gin-bindings Runner.max_steps_per_episode=((": "TokenError: ",
    "run --gin-bindings Runner.max_steps_per_episode=%A": "No bindings specified for 'A/gin.macro'",
    "run --environment long_term_satisfaction --agent tabular_q --num-candidates 60 "
    "--slate-size 10": "60 candidates make 75,394,027,566 slates of 10, which is more than max_num",
    "run --agent tabular_q --num-candidates 300 --slate-size 3 --episodes 1 --train-steps 100": (
        "300 candidates make 4,455,100 slates of 3, which is more than max_num_slates=1000000"
    ),
    "run --num-envs 10000000000000": r"10,000,000,000,000 users .* need at least .* of memory",
    "run --num-candidates 10000000000000": "10,000,000,000,000 candidates .* need at least .* of",
    "run --num-candidates 10000000000000 --num-envs 3": "3 users .* need at least .* of memory",
    "run --episodes 10000000000000": "10,000,000,000,000 episodes of 2 tasks need at",
    "run --episodes 1000000000000": "episodes of 2 tasks need at least .*: choose fewer episodes",
    "run --steps 1000000000000": (
        "takes at least .* microseconds for a step: the evaluation of 50 episodes of "
        "1,000,000,000,000 steps would take at least .* days, more than 31: choose fewer episodes"
    ),
    "run --steps 1000000000000 --num-envs 100": "the evaluation of 100 episodes of 1,000,",
    "run --agent tabular_q --train-steps 1000000000000000": (
        r"the training of 1e\+15 steps would take at least .*: choose fewer training steps"
    ),
    "run --steps 1000000000000001": "--steps: must be at most 1,000,000,000,000,000, got",
    "bench --users 10000000000000": "10,000,000,000,000 users need at least .* of memory",
    "bench --size 10000000000000x2 --users 1": "10,000,000,000,000 candidates .* need at least",
    "bench --size 10000000000000x2 --users 9": "9 users with .* need at least .* of memory",
    "bench --quick --rounds 1000000000": "would take at least .* days, more than 31: choose fewer",
    "bench --quick --baseline-python true": "true could not measure: it ended with exit code 0 and",
    "bench --quick --seconds 1e300": "would take at least .* days, more than 31: choose fewer",
    "reproduce bandits --gin-bindings X.y=1": "there is no option '--gin-bindings'",
    "bench --quick --environment interest_exploration --agent slate_topk_sarsa --users 1": (
        "slate_topk_sarsa"
    ),
    "bench --quick --gin-bindings X.y=1": "there is no option '--gin-bindings'",
    "run --output a_file": "output folder must be a folder that can be written to",
    "run --output a_file/below": "output folder must be a folder that can be written to",
    "run --output full": "full' is not empty: choose another",
    "run --output ''": "output must be a path, got ''",
    "run --output gs://bucket": "gs:// addresses are not supported",
    "bench --output full": "--output must be a file, got 'full'",
    "bench --output a_file/b.json": "The folder of --output must be a folder that can be written",
    "bench --output b.png --figure b.png": "--output and --figure must be different files",
}


@pytest.mark.parametrize("arguments", BAD_INPUT)
def test_mistakes_are_told_in_one_line(arguments, refused):
    pathlib.Path("a_file").write_text("")
    pathlib.Path("true").symlink_to("/bin/true")
    pathlib.Path("full").mkdir()
    pathlib.Path("full", "kept").write_text("")
    err = refused(cli.main, shlex.split(arguments))
    assert re.fullmatch(
        rf"recsim( run| bench| reproduce bandits)?: error: .*{BAD_INPUT[arguments]}.*\n", err
    )
    assert "In call to configurable" not in err
    assert [path for path in new_files() if path.endswith(("json", "csv"))] == []
    assert not pathlib.Path("recsim_runs").exists()


def test_where_every_task_fails_the_first_error_is_told_in_one_line(monkeypatch, capsys, caplog):
    def measure(self):
        raise KeyError("far from the beginning")

    monkeypatch.setattr(agent_run.AgentRun, "measure", measure)
    assert cli.main(["run", *QUICK, "--quiet"]) == 1
    assert capsys.readouterr().err == (
        "recsim run: error: All tasks have failed, the first, "
        "interest_exploration/seed_0/cluster_bandit_ucb1, with KeyError: 'far from the beginning'\n"
    )
    assert "Traceback" in caplog.text


def test_the_line_of_a_failure_is_that_of_its_error(monkeypatch, capsys):
    def measure(self):
        raise LookupError("far from the beginning\n  In call to something") from KeyError("before")

    monkeypatch.setattr(agent_run.AgentRun, "measure", measure)
    assert cli.main(["run", *QUICK, "--quiet"]) == 1
    assert capsys.readouterr().err.endswith("with LookupError: far from the beginning\n")


def test_a_mistake_leaves_the_folders_of_other_runs(refused):
    pathlib.Path("recsim_runs/earlier").mkdir(parents=True)
    refused(cli.main, ["run", "--slate-size", "11"])
    assert new_files() == ["recsim_runs", "recsim_runs/earlier"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission(refused):
    pathlib.Path("closed").mkdir(mode=0o500)
    assert "Permission denied" in refused(cli.main, ["run", "--output", "closed/run"])


def test_a_full_disk_is_told_in_one_line(monkeypatch, refused):
    def measure(self):
        raise OSError(28, "No space left on device", "results.json")

    monkeypatch.setattr(agent_run.AgentRun, "measure", measure)
    err = refused(cli.main, ["run", *QUICK, "--quiet"])
    assert err == "recsim run: error: No space left on device: 'results.json'\n"


def test_the_process_succeeds_and_its_output_is_plain():
    result = recsim_command("run", *QUICK)
    assert result.returncode == 0
    assert "±" in result.stdout.decode()
    assert b"\x1b" not in result.stdout + result.stderr
    assert b"\r" not in result.stdout + result.stderr
    assert recsim_command("run", "--stepps", "3").returncode == 2


@pytest.mark.parametrize("width", [80, 100])
def test_in_a_terminal_there_is_a_bar_and_the_table_fits(width):
    pty, fcntl, termios = map(pytest.importorskip, ("pty", "fcntl", "termios"))  # Not on Windows.
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        [sys.executable, "-m", "recsim", "run", *QUICK],
        stdin=end,
        stdout=end,
        stderr=end,
        env=environment,
    )
    os.close(end)
    shown = b""
    with contextlib.suppress(OSError):  # Linux's way to say that the other end is closed.
        while some := os.read(terminal, 65536):
            shown += some
    os.close(terminal)
    assert process.wait() == 0
    text = shown.decode().replace("\r\n", "\n")
    assert "\rExperiment:   0%|" in text
    assert re.search(r"\rExperiment: 100%\|█+\| 120/120 ", text)
    lines = text[text.index("interest_exploration:") : text.index("Files:")].splitlines()
    assert max(map(len, lines)) <= width
    assert sum(line.startswith("agent ") for line in lines) == 2  # Measures, and differences.


def test_signs_that_the_stream_cannot_show():
    result = recsim_command("run", *QUICK, env={"PYTHONIOENCODING": "ascii"})
    assert result.returncode == 0
    assert b"+- half the 95% interval" in result.stdout


def test_nobody_reads_the_output():
    process = subprocess.Popen(
        [sys.executable, "-m", "recsim", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait() == 1


@pytest.mark.parametrize("agent", ["random", "tabular_q"])
def test_interrupted(agent):
    process = subprocess.Popen(
        [sys.executable, "-m", "recsim", "run", "--agent", agent, "--output", "out"]
        + ["--episodes", "1000000"]
        + ["--train-steps", "10000000"] * (agent == "tabular_q"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell starts what it runs in the background with this signal ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 120
    place = pathlib.Path("out/interest_exploration/seed_0", agent)
    while not place.is_dir() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert out == b""
    assert err.decode().endswith("\nrecsim: interrupted\n")
    assert b"Traceback" not in err
    assert not pathlib.Path("out/results.json").exists()
    assert [path for path in new_files() if path.endswith(".tmp")] == []


def documented(command):
    """Returns the section on a command in the documentation."""
    page = (CHECKOUT / "docs" / "command_line.md").read_text(encoding="utf-8")
    return page.partition(f"\n## recsim {command}\n")[2].partition("\n## ")[0]


def options_in_help(capsys, *command):
    with pytest.raises(SystemExit):
        cli.main([*command, "--help"])
    return re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.M)


def test_the_table_is_shown_where_the_figure_finds_the_disk_full(capsys, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(experiment, "draw", full)
    command = ["run", "--agent", "random", *QUICK, "--quiet", "--output", str(tmp_path / "out")]
    assert cli.main(command) == 1
    shown = capsys.readouterr()
    assert "interest_exploration: 1 seed, 3 users" in shown.out
    assert "The results are saved, figure and report are not: [Errno" in shown.err
    monkeypatch.undo()
    assert cli.main(command) == 0  # It has nothing to do but to draw.
    assert (tmp_path / "out" / "report.html").exists()


def test_commands_of_the_documentation():
    blocks = re.findall(r"^```bash\n(.*?)^```$", documented("run"), re.M | re.S)
    commands = [shlex.split(block.replace("\\\n", " ")) for block in blocks]
    assert len(commands) == 3
    for program, *command in commands:
        assert program == "recsim"
        train_steps = ["--train-steps", "20"] * ("tabular_q" in command)
        assert cli.main([*command, *QUICK, *train_steps, "--quiet"]) == 0
        gin.clear_config()


def test_options_of_the_documentation(capsys):
    def in_table(command):
        rows = [row for row in documented(command).splitlines() if row.startswith("| `--")]
        return re.findall(r"`(--[a-z-]+)(?= [A-Z]|`)", "\n".join(rows))

    assert re.findall(r"^(--[a-z-]+)", documented("run"), re.M) == options_in_help(capsys, "run")
    assert in_table("bench") == options_in_help(capsys, "bench")
    of_experiments = {
        option
        for name in registry.REPRODUCTIONS
        for option in options_in_help(capsys, "reproduce", name)
    }
    assert set(in_table("reproduce")) == of_experiments
    experiments = re.findall(r"^\| `([a-z][a-z-]*)` \|", documented("reproduce"), re.M)
    assert experiments == list(registry.REPRODUCTIONS)


def test_the_default_run_is_fast(tmp_path):
    def processor_seconds():  # Of processes that have ended, and of theirs.
        return sum(os.times()[2:4])

    start = processor_seconds()
    assert recsim_command("run").returncode == 0
    assert processor_seconds() - start < 20


def test_run_logs_the_episodes_of_each_agent():
    options = ["--log-episodes", "--log-user-state", "--output", "out", "--quiet"]
    agents = ["--agent", "tabular_q", "random", "--train-steps", "40", "--seeds", "1"]
    scenario = ["--environment", "long_term_satisfaction", "--slate-size", "1"]
    assert cli.main(["run", *QUICK, *scenario, *agents, *options]) == 0
    logs = {str(path.parent.parent) for path in pathlib.Path("out").rglob("part-*.parquet")}
    place = "out/long_term_satisfaction/seed_0"
    assert logs == {
        f"{place}/random/eval_3",
        f"{place}/tabular_q/eval_3",
        f"{place}/tabular_q/train",
    }
    returns = [
        line.split(",") for line in pathlib.Path("out/episodes.csv").read_text().splitlines()
    ]
    for agent in ("tabular_q", "random"):
        log = recsim.read_episodes(f"{place}/{agent}/eval_3/episodes.parquet")
        found = log.groupby("episode").reward.sum()
        assert found.tolist() == pytest.approx(
            [float(row[returns[0].index("return")]) for row in returns if row[1] == agent]
        )
        assert "state_sensitivity" in log.columns
