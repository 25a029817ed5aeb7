"""Bad files, folders and paths: each row is refused by an error that says what to do."""

import hashlib
import json

import numpy as np
import pytest
from support.made_up_results import made_up
from support.scenarios import CONFIG, config, make_vector_env
from support.scenarios import make_env as make

import recsim
from recsim.agents import (
    random_agent,
    tabular_q_agent,
)
from recsim.environments import long_term_satisfaction
from recsim.experiments import experiment_file, results
from recsim.logs import parquet
from recsim.simulator import (
    checkpoint,
    rollout,
    runner_lib,
)
from recsim.vector import simulate


def make_vector(**changes):
    return make_vector_env(env_config=config(**changes))


def random_agent_of(_, env, **__):
    return random_agent.RandomAgent(env.action_space)


def run(folder, **kwargs):
    return runner_lib.EvalRunner(
        base_dir=str(folder), create_agent_fn=random_agent_of, env=make(), test_mode=True, **kwargs
    )


def run_below_a_file(folder):
    (folder / "a_file").write_text("")
    run(folder / "a_file" / "below")


def load_truncated_checkpoint(folder):
    path = folder / "ckpt.0"
    checkpoint.save(path, {"numbers": np.arange(100)})
    path.write_bytes(path.read_bytes()[:-50])
    checkpoint.load(path)


def load_foreign_checkpoint(folder):
    (folder / "ckpt.0").write_bytes(b"\x80\x04}q\x00.")
    checkpoint.load(folder / "ckpt.0")


def save_an_object(folder):
    checkpoint.save(folder / "ckpt.0", {"agent": [1, {"table": object()}]})


def log_twice(folder):
    for _ in range(2):
        run(
            folder,
            max_eval_episodes=1,
            max_steps_per_episode=2,
            episode_log_file="log",
            progress=False,
        ).run_experiment()


def log_to(folder, name, env=None):
    (folder / "a_file").touch()
    env = env or make()
    log = parquet.ParquetLog(folder / name, env)
    agent = random_agent.RandomAgent(env.action_space)
    rollout.run_episode(env, agent, max_steps=2, listeners=[log])
    return log


def spoiled_results(folder, *, remove=None, cut=None, record=None, whole=None, data=None):
    """Loads saved results of which something was changed."""
    made_up(num_seeds=2).save(folder)
    path = folder / "results.json"
    saved = json.loads(path.read_text())
    if remove is not None:
        (folder / remove).unlink()
    if cut is not None:
        (folder / cut).write_bytes((folder / cut).read_bytes()[:-20])
    if data is not None:
        (folder / "results.parquet").write_bytes(data)
        saved["sha256"]["results.parquet"] = hashlib.sha256(data).hexdigest()
        path.write_text(json.dumps(saved))
    if record is not None or whole is not None:
        path.write_text(json.dumps({**saved, **record} if whole is None else whole))
    return results.Results.load(folder)


def unfinished_log(folder):
    log_to(folder, "log").sync()
    return folder / "log.part"


def complete_log(folder):
    log_to(folder, "log").finish()
    return folder / "log" / "part-000000.parquet"


def read_file(folder, content):
    (folder / "file").write_bytes(content)
    return recsim.read_episodes(folder / "file")


def other_table(folder):
    import pandas

    pandas.DataFrame({"episode": [1, 2]}).to_parquet(folder / "table.parquet")
    return folder / "table.parquet"


def mixed_logs(folder):
    complete_log(folder)
    log_to(folder, "other", long_term_satisfaction.create_environment(CONFIG)).finish()
    (folder / "other/part-000000.parquet").rename(folder / "log/part-000001.parquet")
    return folder / "log"


def serving_table():
    env = make(num_candidates=3)
    return tabular_q_agent.TabularQAgent(env.observation_space, env.action_space, eval_mode=True)


# What is done in a folder, the type of the error, and what its message says, by the row's name.
FILE_TABLE = {
    "folder in place of a checkpoint": (
        lambda folder: checkpoint.load(folder),
        checkpoint.CheckpointError,
        "is not a file",
    ),
    "unwritable output folder": (run_below_a_file, OSError, "a_file"),
    "truncated checkpoint": (load_truncated_checkpoint, checkpoint.CheckpointError, "ckpt.0"),
    "foreign checkpoint": (load_foreign_checkpoint, checkpoint.CheckpointError, "ckpt.0"),
    "object in a checkpoint": (save_an_object, TypeError, "table.*object"),
    "checkpoint at no path": (lambda _: checkpoint.save(3, 1), TypeError, "path must be a path.*3"),
    "checkpoint at an address": (
        lambda _: checkpoint.save("gs://bucket/ckpt", 1),
        ValueError,
        "gs:// addresses are not supported",
    ),
    "foreign bundle for a table that serves": (
        lambda _: serving_table().unbundle("", 0, {"agent": {}}),
        ValueError,
        "TabularQAgent cannot be restored from this bundle: it has no",
    ),
    "folder without a checkpoint": (
        lambda folder: checkpoint.restore_agent(serving_table(), folder),
        FileNotFoundError,
        "There is no checkpoint in",
    ),
    "run at no path": (lambda _: run(""), ValueError, "base_dir must be a path, got ''"),
    "log in place of the metrics": (
        lambda folder: run(folder, episode_log_file="metrics.jsonl"),
        ValueError,
        "episode_log_file must not be one of the run's own files",
    ),
    "log that is a folder": (
        lambda folder: run(folder, episode_log_file=folder),
        IsADirectoryError,
        "episode_log_file must be a file",
    ),
    "episode log that exists": (log_twice, FileExistsError, "log.*choose another"),
    "Parquet log in place of the checkpoints": (
        lambda folder: run(folder, parquet_log="checkpoints/log"),
        ValueError,
        "parquet_log must not be one of the run's own files",
    ),
    "Parquet log of the name of the other log": (
        lambda folder: run(folder, episode_log_file="log", parquet_log="log"),
        ValueError,
        "parquet_log and episode_log_file must be different paths, got 'log' for both",
    ),
    "Parquet log that is a number": (
        lambda folder: run(folder, parquet_log=3),
        TypeError,
        "parquet_log must be a path .*got 3",
    ),
    "Parquet log in a folder that cannot be made": (
        lambda folder: log_to(folder, "a_file/log"),
        NotADirectoryError,
        "a_file",
    ),
    "Parquet log of an environment of the other engine": (
        lambda folder: parquet.ParquetLog(folder / "log", make_vector()),
        TypeError,
        "env must be a RecSimGymEnv.*got",
    ),
    "vector log of flat observations": (
        lambda folder: parquet.VectorParquetLog(
            folder / "log", make_vector_env(observation="flat")
        ),
        TypeError,
        "as it does with observation='nested', got one whose observations are of Box",
    ),
    "vector log of an environment of the other engine": (
        lambda folder: parquet.VectorParquetLog(folder / "log", make()),
        TypeError,
        "env must be a RecSimVectorEnv.*got",
    ),
    "results that are not there": (
        results.Results.load,
        FileNotFoundError,
        "folder must hold the results of an experiment, got '.*', which has no results.json",
    ),
    "results of which a file is missing": (
        lambda folder: spoiled_results(folder, remove="steps.parquet"),
        ValueError,
        "steps.parquet' is not the file that the results beside it were saved with",
    ),
    "results of which a file is truncated": (
        lambda folder: spoiled_results(folder, cut="results.parquet"),
        ValueError,
        "results.parquet' is not the file that the results beside it were saved with",
    ),
    "results whose times are truncated": (
        lambda folder: spoiled_results(folder, cut="timing.json"),
        ValueError,
        "timing.json' cannot be read as results",
    ),
    "results whose record is truncated": (
        lambda folder: spoiled_results(folder, cut="results.json"),
        ValueError,
        "results.json' cannot be read as results",
    ),
    "results whose record is a list": (
        lambda folder: spoiled_results(folder, whole=[]),
        ValueError,
        "results.json' cannot be read as results: it holds no dictionary",
    ),
    "results whose record has no digests": (
        lambda folder: spoiled_results(folder, record={"sha256": 3}),
        ValueError,
        "its 'sha256' must be a dict, got 3",
    ),
    "results whose record names no data": (
        lambda folder: spoiled_results(folder, record={"sha256": {}}),
        ValueError,
        "its 'sha256' must have 'results.parquet'",
    ),
    "results with failures of another kind": (
        lambda folder: spoiled_results(folder, record={"failures": ["x"]}),
        ValueError,
        "its 'failures' must be dictionaries",
    ),
    "results with data of another format": (
        lambda folder: spoiled_results(folder, data=b"PAR1 and no more"),
        ValueError,
        "results.parquet' cannot be read as results",
    ),
    "results whose data are another table": (
        lambda folder: spoiled_results(folder, data=other_table(folder).read_bytes()),
        ValueError,
        "does not hold results of an experiment: frame must have the columns scenario, agent",
    ),
    "results in a folder that cannot be made": (
        lambda folder: (folder / "a_file").touch() or made_up().save(folder / "a_file/results"),
        NotADirectoryError,
        "The results folder must be a folder that can be written to",
    ),
    "figure of an unknown kind": (
        lambda folder: made_up().plot(folder / "figure.jpeg"),
        ValueError,
        "path must end in one of .png, .svg, .pdf, or in none of them for PNG and SVG, got",
    ),
    "summary beside a baseline that is not there": (
        lambda folder: made_up().summary("oracle"),
        ValueError,
        "baseline must be one of 'cluster_bandit_ucb1', 'greedy_pctr', 'random', got 'oracle'",
    ),
    "results that are infinite": (
        lambda _: results.Results(made_up().to_dataframe().assign(value=np.inf)),
        ValueError,
        "Column value of frame must be finite",
    ),
    "table of no width": (lambda _: made_up().table(width=0), ValueError, "width must be .*>= 1"),
    "experiment file that is not a text": (
        lambda folder: (
            (folder / "experiment.yaml").write_bytes(b"\xff\xfe")
            and experiment_file.load(folder / "experiment.yaml")
        ),
        ValueError,
        "experiment.yaml' is not a text in UTF-8",
    ),
    "hidden states of users without a log": (
        lambda _: simulate.simulate(
            make_vector, random_agent.VectorRandomAgent, 2, num_steps=1, log_user_state=True
        ),
        ValueError,
        "log_user_state has no effect without parquet_log",
    ),
    "hidden states of a runner's users without a log": (
        lambda folder: run(folder, log_user_state=True),
        ValueError,
        "log_user_state has no effect without parquet_log",
    ),
    "experiment file with a wrong key": (
        lambda folder: (
            (folder / "experiment.yaml").write_text("agents: random\nsedes: 3\n")
            and experiment_file.load(folder / "experiment.yaml")
        ),
        ValueError,
        "experiment.yaml', line 2: there is no key 'sedes'. Did you mean 'seeds'",
    ),
    "agent factory that does not import": (
        lambda folder: (
            (folder / "mine.py").write_text("import nosuch\n")
            and recsim.experiment(f"{folder / 'mine.py'}:Mine")
        ),
        ValueError,
        "mine.py:Mine' cannot be imported: ModuleNotFoundError: No module named 'nosuch'",
    ),
    "sweep over a parameter that does not exist": (
        lambda folder: recsim.experiment("random", sweep={"ClusterBandit.ci_scaling": [1]}),
        ValueError,
        "No configurable matching 'ClusterBandit'",
    ),
    "results folder of another experiment": (
        lambda folder: [
            recsim.experiment("random", output=folder / "out", episodes=n, steps=2, progress=False)
            for n in (1, 2)
        ],
        ValueError,
        "holds results of another experiment .episodes 1 there and 2 here.: choose another",
    ),
    "log that is not there": (
        lambda folder: recsim.read_episodes(folder / "log"),
        FileNotFoundError,
        "path must be that of an episode log, got '.*log', where there is none",
    ),
    "log at no path": (lambda _: recsim.read_episodes(3), TypeError, "path must be a path.*3"),
    "log that is an empty file": (
        lambda folder: read_file(folder, b""),
        ValueError,
        "episode log '.*file' is empty",
    ),
    "log that is an empty folder": (
        lambda folder: recsim.read_episodes(folder),
        ValueError,
        "episode log '.*' is empty",
    ),
    "log that is not complete": (
        lambda folder: recsim.read_episodes(unfinished_log(folder)),
        ValueError,
        "log.part' is not complete: wait for its run to end",
    ),
    "log of another kind of file": (
        lambda folder: read_file(folder, b"episode,user\n0,0\n"),
        ValueError,
        "file' is neither a Parquet nor a TFRecord file",
    ),
    "log that is torn": (
        lambda folder: read_file(folder, complete_log(folder).read_bytes()[:-9]),
        ValueError,
        "file' is damaged or not complete",
    ),
    "log of another schema": (
        lambda folder: recsim.read_episodes(other_table(folder)),
        ValueError,
        "is not an episode log of recsim: it has no user, step, position",
    ),
    "logs of two schemas in one folder": (
        lambda folder: recsim.read_episodes(mixed_logs(folder)),
        ValueError,
        "part-000001.parquet' is of another log than the files before it: .*item_feature",
    ),
    "column that the log lacks": (
        lambda folder: recsim.read_episodes(complete_log(folder), columns=["reward", "clicks"]),
        ValueError,
        "columns must be of those of the log, got 'clicks'; there are episode, user",
    ),
    "columns that are one name": (
        lambda folder: recsim.read_episodes(complete_log(folder), columns="reward"),
        TypeError,
        "columns must be a list of names.*'reward'",
    ),
}


@pytest.mark.parametrize("row", FILE_TABLE)
def test_bad_files(row, tmp_path):
    action, error, message = FILE_TABLE[row]
    with pytest.raises(error, match=f"(?s){message}"):
        action(tmp_path)
