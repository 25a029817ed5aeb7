"""A learner of policies by policy gradients: networks, optimizers, rollouts and their state.

The agents of one user and of users in parallel act on it, as those of
:mod:`recsim.agents.dopamine.learner` act on a Q-learner.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from recsim import seeding, types
from recsim._internal import bundles, validation
from recsim.agents.networks import item_scorers, optimizers, perceptrons
from recsim.agents.policy_gradients import advantages, objectives, plackett_luce
from recsim.agents.policy_gradients import rollouts as rollouts_lib

__all__ = ["PolicyLearner", "Settings"]

# How fast the mean and the spread of returns that values are in units of follow those seen.
_RATE_OF_SCALE = 0.1
# The first units of values, before there are returns.
_NO_SCALE = (0.0, 1.0)


@dataclasses.dataclass(kw_only=True)
class Settings:
    """How a policy is learned.

    Attributes:
        gamma: discount of rewards from step to step, in [0, 1].
        trace_decay: of the advantages, see
            :func:`recsim.agents.policy_gradients.advantages.generalized_advantages`, in [0, 1].
        update_period: number of steps, of all users together, from one update to the next, >= 2.
            Each user makes equally many, one at least.
        num_epochs: how often an update learns from each step, >= 1.
        batch_size: number of steps of a gradient step, >= 1.
        learning_rate: of Adam, for both networks, above 0.
        entropy_weight: of the entropy of slates in the objective, >= 0.
        max_gradient_norm: what longer gradients are shortened to, above 0.
        hidden_units: sizes of the hidden layers of the network of values and of that which turns
            users into weights of items' features, each >= 1.
        item_units: sizes of the layers that learn further features of items, each >= 1; none if
            scores are linear in the items' features, which ones of topics may well be.
        seed: seed of initial weights, exploration and batches.

    Raises:
        TypeError, ValueError: for a value of the wrong type or out of its range.
    """

    #: Names of those that shape the state.
    state_settings: ClassVar[tuple[str, ...]] = ("hidden_units", "item_units")

    gamma: float = 0.99
    trace_decay: float = 1.0
    update_period: int = 512
    num_epochs: int = 4
    batch_size: int = 256
    learning_rate: float = 3e-3
    entropy_weight: float = 0.01
    max_gradient_norm: float = 0.5
    hidden_units: Sequence[int] = (64, 64)
    item_units: Sequence[int] = ()
    seed: int | None = 0

    def __post_init__(self) -> None:
        for name in ("gamma", "trace_decay"):
            setattr(self, name, validation.probability(name, getattr(self, name)))
        self.update_period = validation.positive_int("update_period", self.update_period, 2)
        for name in ("num_epochs", "batch_size"):
            setattr(self, name, validation.positive_int(name, getattr(self, name)))
        for name in ("learning_rate", "max_gradient_norm"):
            setattr(self, name, validation.positive_float(name, getattr(self, name)))
        self.entropy_weight = validation.non_negative_float("entropy_weight", self.entropy_weight)
        for name in ("hidden_units", "item_units"):
            setattr(self, name, perceptrons.checked_units(name, getattr(self, name)))


class PolicyLearner:
    """Learns a policy and the values of states.

    Args:
        objective: what the policy is to make large.
        settings: how it is learned.
        user_size: number of features of a user.
        num_candidates: number of candidates.
        doc_size: number of features of a document.
        slate_size: number of documents in a slate.
        num_users: number of users in parallel.
        agent_name: name of the single-user agent's class, which state is of.

    Raises:
        MemoryError: if there is no memory for the networks.
    """

    def __init__(
        self,
        objective: objectives.Objective,
        settings: Settings,
        *,
        user_size: int,
        num_candidates: int,
        doc_size: int,
        slate_size: int,
        num_users: int,
        agent_name: str,
    ) -> None:
        self.objective = objective
        self.settings = settings
        self.agent_name = agent_name
        self._sizes = {"user_size": user_size, "doc_size": doc_size}
        self._counts = {"num_candidates": num_candidates, "slate_size": slate_size}
        self._num_users = num_users
        #: Number of training steps so far: of slates recommended in training.
        self.training_steps = 0
        #: Number of updates so far.
        self.num_updates = 0
        rng = seeding.named_random_state(settings.seed, "networks")
        self._scorer = item_scorers.ItemScorer.initial(
            user_size, doc_size, settings.hidden_units, settings.item_units, rng
        )
        sizes = [user_size, *settings.hidden_units, objective.num_values]
        self._critic = perceptrons.initial_weights(sizes, rng)
        self._optimizers = self._new_optimizers(self._scorer.weights, self._critic)
        self._scale = _NO_SCALE
        self._rng = seeding.named_random_state(settings.seed, "batches")
        self._rollouts: rollouts_lib.Rollouts | None = None
        #: Statistics of the last update, by name.
        self.statistics: dict[str, float] = {}

    def _new_optimizers(
        self, of_actor: Sequence[np.ndarray], of_critic: Sequence[np.ndarray]
    ) -> tuple[optimizers.Optimizer, optimizers.Optimizer]:
        """Makes the optimizers, which own the weights from now on."""
        rate = self.settings.learning_rate
        made = tuple(optimizers.Optimizer(each, "adam", rate) for each in (of_actor, of_critic))
        self._use_weights_of(*made)
        return made[0], made[1]

    def _use_weights_of(self, *of_networks: optimizers.Optimizer) -> None:
        """Evaluates the networks by the weights that the optimizers own."""
        self._scorer = self._scorer.with_weights(of_networks[0].weights)
        self._critic = of_networks[1].weights

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._use_weights_of(*self._optimizers)

    @property
    def num_steps(self) -> int:
        """Number of steps that each user makes from one update to the next."""
        return -(-self.settings.update_period // self._num_users)

    @property
    def rollouts(self) -> rollouts_lib.Rollouts:
        """The steps since the last update, in arrays that are made when they are asked for first.

        Raises:
            MemoryError: if there is no memory for them.
        """
        if self._rollouts is None:
            self._rollouts = rollouts_lib.Rollouts(
                self.num_steps, self._num_users, **self._sizes, **self._counts
            )
        return self._rollouts

    # Acting.

    @property
    def scorer(self) -> item_scorers.ItemScorer:
        """What scores items now; updates change its weights."""
        return self._scorer

    def scores(self, users: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """Returns the scores of documents, float64 of shape (n_users, num_documents).

        Args:
            users: features of users, shape (n_users, user_size).
            documents: features of documents, shape (n_users, num_documents, doc_size).

        Raises:
            FloatingPointError: if they are not finite.
        """
        scores = self._scorer.scores(users, documents)
        if not math.isfinite(scores.sum()):
            self._refuse_numbers("sum of the scores", scores.sum())
        return scores

    def values(self, users: np.ndarray) -> np.ndarray:
        """Returns the values of users' states, float64 of shape (n_users, num_values).

        Args:
            users: features of users, shape (n_users, user_size).
        """
        return self._unscaled(perceptrons.forward(self._critic, users, "critic")[-1])

    def _unscaled(self, outputs: np.ndarray) -> np.ndarray:
        mean, spread = self._scale
        return outputs.astype(np.float64) * spread + mean

    def _refuse_numbers(self, what: str, number: float) -> None:
        """Stops a training whose numbers are no longer finite."""
        raise FloatingPointError(
            f"The training has diverged: at training step {self.training_steps} the {what} is "
            f"{number}. Choose a smaller learning_rate, or smaller rewards. The last checkpoint "
            "is from before."
        )

    # Learning.

    def update(self) -> None:
        """Learns from the steps since the last update, and forgets them.

        Raises:
            FloatingPointError: if the networks' numbers are no longer finite.
        """
        length = self.rollouts.length
        arrays = {name: array[:length] for name, array in self.rollouts.arrays.items()}
        rows = arrays["rewards"].shape
        # Sizes are said in full: where nothing of users is observed, no number tells of rows.
        flat = {
            name: array.reshape(arrays["rewards"].size, *array.shape[2:])
            for name, array in arrays.items()
        }
        values, next_values = self.values(flat["users"]), self.values(flat["next_users"])
        following = np.where(arrays["terminated"], 0.0, next_values[:, 0].reshape(rows))
        of_steps = advantages.generalized_advantages(
            arrays["rewards"],
            values[:, 0].reshape(rows),
            following,
            arrays["ended"],
            self.settings.gamma,
            self.settings.trace_decay,
        ).reshape(-1)
        returns = of_steps + values[:, 0]
        self._rescale(returns)
        credits_of_steps = self.objective.credits(of_steps, values, flat["clicks"])
        losses, entropies, number = 0.0, 0.0, 0
        with np.errstate(over="ignore", invalid="ignore"):  # The outcome is checked.
            for _ in range(self.settings.num_epochs):
                order = self._rng.permutation(len(returns))
                for start in range(0, len(order), self.settings.batch_size):
                    batch = order[start : start + self.settings.batch_size]
                    losses += self._learn_values(flat, returns, batch)
                    entropies += self._learn_policy(flat, credits_of_steps, batch)
                    number += 1
        self.statistics = {"ValueLoss": losses / number, "Entropy": entropies / number}
        for what, amount in (("loss of values", losses), ("entropy", entropies)):
            if not math.isfinite(amount):
                self._refuse_numbers(what, amount)
        self.num_updates += 1
        self.rollouts.clear()

    def _rescale(self, returns: np.ndarray) -> None:
        """Lets the units of values follow the returns, and leaves the values as they are.

        Networks learn numbers of about the size of 1 best (van Hasselt et al., 2016).
        """
        mean, spread = self._scale
        if not self.num_updates:
            new_mean, new_spread = float(returns.mean()), float(returns.std())
        else:
            square = (1.0 - _RATE_OF_SCALE) * (spread**2 + mean**2)
            square += _RATE_OF_SCALE * float(np.square(returns).mean())
            new_mean = mean + _RATE_OF_SCALE * (float(returns.mean()) - mean)
            new_spread = math.sqrt(max(square - new_mean**2, 0.0))
        new_spread = max(new_spread, 1e-3)
        kernel, bias = self._critic[-2:]
        kernel *= np.float32(spread / new_spread)
        bias *= np.float32(spread / new_spread)
        bias += np.float32((mean - new_mean) / new_spread)
        self._scale = new_mean, new_spread

    def _learn_values(
        self, flat: Mapping[str, np.ndarray], returns: np.ndarray, batch: np.ndarray
    ) -> float:
        """Makes a gradient step of the network of values; returns the loss before it."""
        optimizer = self._optimizers[1]
        layers = perceptrons.forward(self._critic, flat["users"][batch], "critic")
        mean, spread = self._scale
        errors = layers[-1] - ((returns[batch] - mean) / spread)[:, np.newaxis]
        if self.objective.num_values > 1:
            errors[:, 1] *= ~flat["clicks"][batch].any(axis=1)
        loss = float(np.square(errors).sum()) / len(batch)
        change = (errors * (2.0 / len(batch))).astype(np.float32)
        perceptrons.backward(self._critic, layers, change, optimizer.gradients, "critic")
        optimizer.clip(self.settings.max_gradient_norm)
        optimizer.descend()
        return loss

    def _learn_policy(
        self, flat: Mapping[str, np.ndarray], credits_of_steps: np.ndarray, batch: np.ndarray
    ) -> float:
        """Makes a gradient step of the network of scores; returns the entropy before it."""
        optimizer = self._optimizers[0]
        scores = item_scorers.Scores(self._scorer, flat["users"][batch], flat["documents"][batch])
        slates = plackett_luce.Slates(scores.scores, flat["slates"][batch])
        of_batch = objectives.Batch(
            flat["slates"][batch],
            flat["remembered"][batch],
            flat["clicks"][batch],
            credits_of_steps[batch],
        )
        gradient = self.objective.gradient(slates, of_batch)
        if self.settings.entropy_weight:
            gradient += self.settings.entropy_weight * slates.entropy_gradient()
        scores.backward(gradient / -len(batch), optimizer.gradients)
        optimizer.clip(self.settings.max_gradient_norm)
        optimizer.descend()
        return float(slates.conditional_entropies().sum()) / len(batch)

    def write_summary(self, summary_writer: types.SummaryWriter) -> None:
        """Writes the statistics of the last update."""
        for name, number in self.statistics.items():
            summary_writer.add_scalar(name, number, self.training_steps)

    # State.

    def description(self) -> dict[str, Any]:
        """Returns what a state's agent and this one must have in common."""
        layers = {name: getattr(self.settings, name) for name in self.settings.state_settings}
        return {"agent": self.agent_name, **self._sizes, **layers}

    def serving_state(self) -> types.State:
        """Returns what recommending needs, as data.

        Raises:
            FloatingPointError: if weights are no longer finite.
        """
        actor_weights, critic_weights = (each.copied_weights() for each in self._optimizers)
        for layer in (*actor_weights, *critic_weights):
            with np.errstate(over="ignore", invalid="ignore"):
                total = float(layer.sum())
            if not math.isfinite(total):
                self._refuse_numbers("sum of a layer's weights", total)
        return {
            "description": self.description(),
            "training_steps": self.training_steps,
            "num_updates": self.num_updates,
            "actor": actor_weights,
            "critic": critic_weights,
            "value_scale": list(self._scale),
        }

    def state_dict(self) -> types.State:
        """Returns all that was learned and that training resumes with, as data."""
        return {
            **self.serving_state(),
            "optimizers": [each.state() for each in self._optimizers],
            "batches_rng_state": seeding.generator_state(self._rng),
            "rollouts": None if self._rollouts is None else self._rollouts.state_dict(),
        }

    def check(self, state: Mapping[str, Any], *, for_training: bool) -> None:
        """Raises an error for a state that :meth:`restore` cannot take.

        Args:
            state: what :meth:`state_dict` or :meth:`serving_state` returned.
            for_training: whether training is to resume from it, and not only to recommend.

        Raises:
            UnfitStateError: if it is of another agent, or has nothing to train with.
            ValueError: if an entry is not as such a state has it.
        """
        owner = self.agent_name
        described = dict(bundles.entries(owner, "description", state["description"]))
        own = self.description()
        if described != own:
            raise bundles.UnfitStateError(
                f"it is of another agent or of other spaces. It has {described}, this agent has "
                f"{own}"
            )
        if for_training and "optimizers" not in state:
            raise bundles.UnfitStateError(
                "it has no optimizers, which training resumes with. Make the agent with "
                "eval_mode=True"
            )
        names = ("training_steps", "num_updates", "actor", "critic", "value_scale")
        bundles.entries(owner, "the bundle", state, *names)
        for name in ("training_steps", "num_updates"):
            bundles.count(owner, name, state[name])
        for name, own_weights in (("actor", self._scorer.weights), ("critic", self._critic)):
            bundles.arrays(owner, name, state[name], [array.shape for array in own_weights], "f")
        scale = state["value_scale"]
        if not isinstance(scale, (list, tuple)) or len(scale) != 2:
            bundles.refuse(owner, "value_scale", "two numbers", scale)
        bundles.number(owner, "value_scale", scale[0])
        bundles.number(owner, "value_scale", scale[1], 0.0)
        if for_training:
            self._check_training_state(state)

    def _check_training_state(self, state: Mapping[str, Any]) -> None:
        owner = self.agent_name
        bundles.entries(owner, "the bundle", state, "optimizers", "batches_rng_state")
        own = [each.state() for each in self._optimizers]
        if not isinstance(state["optimizers"], list) or len(state["optimizers"]) != len(own):
            bundles.refuse(owner, "optimizers", f"{len(own)} states", state["optimizers"])
        for of_own, other in zip(own, state["optimizers"], strict=True):
            shapes = [array.shape for array in of_own]
            bundles.arrays(owner, "optimizers", other, shapes, "iuf")
        rng_state = state["batches_rng_state"]
        bundles.generator_state(owner, "batches_rng_state", rng_state, with_normal=True)
        if state.get("rollouts") is not None:
            self.rollouts.check(owner, state["rollouts"])

    def restore(self, state: Mapping[str, Any], *, for_training: bool) -> None:
        """Restores a state that :meth:`check` has checked.

        Args:
            state: what :meth:`state_dict` or :meth:`serving_state` returned. If it has no rollouts,
                they begin anew.
            for_training: whether training resumes from it.
        """
        self.training_steps = int(state["training_steps"])
        self.num_updates = int(state["num_updates"])
        self._optimizers = self._new_optimizers(state["actor"], state["critic"])
        mean, spread = state["value_scale"]
        self._scale = float(mean), float(spread)
        if not for_training:
            return
        for optimizer, of_optimizer in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.set_state(of_optimizer)
        seeding.restore_generator(self._rng, state["batches_rng_state"])
        if state.get("rollouts") is not None:
            self.rollouts.load_state_dict(state["rollouts"])
        elif self._rollouts is not None:
            self._rollouts.clear()

    # What tells it from others, see recsim.simulator.fingerprint.

    @property
    def state_settings(self) -> tuple[str, ...]:
        """Names of the settings that shape the state."""
        return self.settings.state_settings

    @property
    def fingerprint_name(self) -> str:
        """The name of the single-user agent's class."""
        return self.agent_name

    def fingerprint_attributes(self) -> dict[str, Any]:
        """Returns the settings, the sizes and the networks, by name."""
        return {
            **vars(self.settings),
            **vars(self.objective),
            **self._sizes,
            "actor": self._optimizers[0],
            "critic": self._optimizers[1],
        }
