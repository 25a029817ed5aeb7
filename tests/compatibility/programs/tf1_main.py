"""A program as written for RecSim: absl's flags, and an agent with a graph of TensorFlow 1.

Under RecSim 0.2.4 and under this library it prints the same line, which tf1_main.json has:

    python tf1_main.py --base_dir=/tmp/somewhere \
        --gin_bindings=simulator.runner_lib.Runner.max_steps_per_episode=7
"""

import glob
import json
import os

import numpy as np
import tensorflow.compat.v1 as tf
from absl import app, flags

from recsim import agent
from recsim.environments import interest_exploration
from recsim.simulator import runner_lib

FLAGS = flags.FLAGS


class TopicValues(agent.AbstractEpisodicRecommenderAgent):
    """Learns by gradient steps how often each topic is clicked, and shows the best ones."""

    def __init__(self, sess, observation_space, action_space, eval_mode):
        super().__init__(action_space)
        self._sess, self._eval_mode = sess, eval_mode
        documents = list(observation_space.spaces["doc"].spaces.values())
        num_topics = documents[0].spaces["cluster_id"].n
        with sess.graph.as_default():
            self._topics = tf.placeholder(tf.int32, [None])
            self._clicks = tf.placeholder(tf.float32, [None])
            self._values = tf.get_variable(
                "values", [num_topics], initializer=tf.constant_initializer(0.5)
            )
            error = tf.gather(self._values, self._topics) - self._clicks
            optimizer = tf.train.GradientDescentOptimizer(0.1)
            self._train_op = optimizer.minimize(tf.reduce_mean(tf.square(error)))
            self._saver = tf.train.Saver()

    def step(self, reward, observation):
        self._learn(observation)
        topics = [doc["cluster_id"] for doc in observation["doc"].values()]
        values = self._sess.run(self._values)[topics]
        return np.argsort(-values, kind="stable")[: self._slate_size]

    def learned(self):
        return self._sess.run(self._values).tolist()

    def end_episode(self, reward, observation=None):
        self._learn(observation)

    def _learn(self, observation):
        if self._eval_mode or observation["response"] is None:
            return
        topics = [response["cluster_id"] for response in observation["response"]]
        clicks = [response["click"] for response in observation["response"]]
        self._sess.run(self._train_op, {self._topics: topics, self._clicks: clicks})

    def bundle_and_checkpoint(self, checkpoint_dir, iteration_number):
        path = os.path.join(checkpoint_dir, "tf_values")
        self._saver.save(self._sess, path, global_step=iteration_number)
        return super().bundle_and_checkpoint(checkpoint_dir, iteration_number)

    def unbundle(self, checkpoint_dir, iteration_number, bundle_dict):
        path = os.path.join(checkpoint_dir, f"tf_values-{iteration_number}")
        self._saver.restore(self._sess, path)
        return super().unbundle(checkpoint_dir, iteration_number, bundle_dict)


def create_agent(sess, environment, eval_mode, summary_writer=None):
    assert isinstance(sess, tf.Session)
    space = environment.observation_space
    return TopicValues(sess, space, environment.action_space, eval_mode)


def create_environment():
    config = {"num_candidates": 6, "slate_size": 2, "resample_documents": True, "seed": 1}
    env = interest_exploration.create_environment(config)
    env.seed(3)
    return env


def main(argv):
    if len(argv) > 1:
        raise app.UsageError("Too many command-line arguments.")
    tf.disable_eager_execution()
    runner_lib.load_gin_configs(FLAGS.gin_files, FLAGS.gin_bindings)
    trainer = runner_lib.TrainRunner(
        base_dir=FLAGS.base_dir,
        create_agent_fn=create_agent,
        env=create_environment(),
        episode_log_file=FLAGS.episode_log_file,
        max_training_steps=20,
        num_iterations=3,
    )
    trainer.run_experiment()
    trained = trainer._agent.learned()
    evaluator = runner_lib.EvalRunner(
        base_dir=FLAGS.base_dir,
        create_agent_fn=create_agent,
        env=create_environment(),
        max_eval_episodes=4,
        test_mode=True,
    )
    evaluator.run_experiment()
    evaluated = evaluator._agent.learned()
    (path,) = glob.glob(os.path.join(FLAGS.base_dir, "eval_4", "returns_*"))
    with open(path) as file:
        returns = json.loads(file.read())
    print(json.dumps({"trained": trained, "evaluated": evaluated, "returns": returns}))


if __name__ == "__main__":
    flags.mark_flag_as_required("base_dir")
    app.run(main)
