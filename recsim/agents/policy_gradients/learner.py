"""A learner of policies by policy gradients: networks, optimizers, rollouts and their state.

The agents of one user and of users in parallel act on it, as those of
:mod:`recsim.agents.dopamine.learner` act on a Q-learner.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recsim import seeding, types
from recsim._internal import bundles, validation
from recsim.agents import _learner
from recsim.agents._action_masks.allowed_slates import AllowedSlates
from recsim.agents.networks import item_scorers, optimizers, user_networks
from recsim.agents.policy_gradients import advantages, masked_slates, objectives, plackett_luce
from recsim.agents.policy_gradients import rollouts as rollouts_lib

__all__ = ["PolicyLearner", "Settings", "Shown"]

#: Features of users and documents, slates, and what the objective remembers of them.
Shown = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

# Their names in rollouts.
_SHOWN = ("users", "documents", "slates", "remembered")

# How fast the mean and the spread of returns that values are in units of follow those seen.
_RATE_OF_SCALE = 0.1
# The first units of values, before there are returns.
_NO_SCALE = (0.0, 1.0)


@dataclasses.dataclass(kw_only=True)
class Settings(_learner.Settings):
    """How a policy is learned.

    Attributes:
        gamma: discount of rewards from step to step, in [0, 1].
        trace_decay: of the advantages, see
            :func:`recsim.agents.policy_gradients.advantages.generalized_advantages`, in [0, 1].
        update_period: number of steps, of all users together, from one update to the next, >= 2.
            Each user makes equally many, one at least.
        num_epochs: how often an update learns from each step, >= 1.
        learning_rate: of Adam, for both networks, above 0.
        entropy_weight: of the entropy of slates in the objective, >= 0.
        max_gradient_norm: what longer gradients are shortened to, above 0.

    Raises:
        TypeError, ValueError: for a value of the wrong type or out of its range.
    """

    gamma: float = 0.99
    trace_decay: float = 1.0
    update_period: int = 512
    num_epochs: int = 4
    learning_rate: float = 3e-3
    entropy_weight: float = 0.01
    max_gradient_norm: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.trace_decay = validation.probability("trace_decay", self.trace_decay)
        self.update_period = validation.positive_int("update_period", self.update_period, 2)
        self.num_epochs = validation.positive_int("num_epochs", self.num_epochs)
        self.entropy_weight = validation.non_negative_float("entropy_weight", self.entropy_weight)
        self.max_gradient_norm = validation.positive_float(
            "max_gradient_norm", self.max_gradient_norm
        )


class PolicyLearner(_learner.Learner[Settings]):
    """Learns a policy and the values of states.

    Args:
        objective: what the policy is to make large.
        settings: how it is learned.
        sizes: what it is made for.
        num_candidates: number of candidates.
        num_users: number of users in parallel.

    Raises:
        MemoryError: if there is no memory for the networks.
    """

    entries_to_serve = ("actor", "critic", "value_scale")
    entries_to_train = ("optimizers",)

    def __init__(
        self,
        objective: objectives.Objective,
        settings: Settings,
        sizes: _learner.Sizes,
        *,
        num_candidates: int,
        num_users: int,
    ) -> None:
        super().__init__(settings, sizes)
        self.objective = objective
        self._doc_size = sizes.doc_size
        self._shapes = {
            "user_size": sizes.user_size,
            "num_candidates": num_candidates,
            "doc_size": sizes.doc_size + sizes.mask_size,
            "slate_size": sizes.slate_size,
        }
        self._num_users = num_users
        user_size = sizes.user_size
        rng = seeding.named_random_state(settings.seed, "networks")
        self._scorer = item_scorers.ItemScorer.initial(
            user_size,
            sizes.doc_size,
            settings.hidden_units,
            settings.item_units,
            rng,
            sizes.recurrence,
        )
        layers = [user_size, *settings.hidden_units, objective.num_values]
        self._of_critic = user_networks.UserNetwork(sizes.recurrence)
        self._critic = self._of_critic.initial_weights(layers, rng)
        self._optimizers = self._new_optimizers(self._scorer.weights, self._critic)
        self._scale = _NO_SCALE
        self._rollouts: rollouts_lib.Rollouts | None = None

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
            self._rollouts = rollouts_lib.Rollouts(self.num_steps, self._num_users, **self._shapes)
        return self._rollouts

    def prepare(self) -> None:
        """Makes the rollouts: sizes that do not fit are told of now."""
        self.rollouts  # noqa: B018  # Makes them.

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
        return self._unscaled(self._of_critic.outputs(self._critic, users, "critic"))

    def _unscaled(self, outputs: np.ndarray) -> np.ndarray:
        mean, spread = self._scale
        return outputs.astype(np.float64) * spread + mean

    # Learning.

    def add(
        self, last: Shown, summary_writer: types.SummaryWriter | None, **outcome: np.ndarray
    ) -> None:
        """Adds a step of all users to the rollouts, and learns from them when they are full.

        Args:
            last: the slates, and what was seen and remembered with them.
            summary_writer: where the statistics of an update go, or None.
            **outcome: what else rollouts have of a step, by name.

        Raises:
            FloatingPointError: if the networks' numbers are no longer finite.
        """
        self.rollouts.add(**dict(zip(_SHOWN, last, strict=True)), **outcome)
        if self.rollouts.is_full:
            self.update()
            if summary_writer is not None:
                self.write_summary(summary_writer)

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
        flat.update(self._split(flat))
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

    def _split(self, flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns documents' features, and what follows from the masks after them, by name."""
        documents = flat["documents"]
        if documents.shape[-1] == self._doc_size:
            return {}
        masks = documents[..., self._doc_size :] != 0
        opened = AllowedSlates(masks).opened(flat["slates"])
        return {"documents": documents[..., : self._doc_size], "masks": masks, "opened": opened}

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
        layers = self._of_critic.forward(self._critic, flat["users"][batch], "critic")
        mean, spread = self._scale
        errors = layers.outputs - ((returns[batch] - mean) / spread)[:, np.newaxis]
        if self.objective.num_values > 1:
            errors[:, 1] *= ~flat["clicks"][batch].any(axis=1)
        loss = float(np.square(errors).sum()) / len(batch)
        change = (errors * (2.0 / len(batch))).astype(np.float32)
        self._of_critic.backward(self._critic, layers, change, optimizer.gradients, "critic")
        optimizer.clip(self.settings.max_gradient_norm)
        optimizer.descend()
        return loss

    def _learn_policy(
        self, flat: Mapping[str, np.ndarray], credits_of_steps: np.ndarray, batch: np.ndarray
    ) -> float:
        """Makes a gradient step of the network of scores; returns the entropy before it."""
        optimizer = self._optimizers[0]
        scores = item_scorers.Scores(self._scorer, flat["users"][batch], flat["documents"][batch])
        shown, masks = flat["slates"][batch], None
        slates: plackett_luce.Slates
        if "masks" in flat:
            masks = flat["masks"][batch]
            slates = masked_slates.MaskedSlates(scores.scores, shown, flat["opened"][batch])
        else:
            slates = plackett_luce.Slates(scores.scores, shown)
        of_batch = objectives.Batch(
            shown,
            flat["remembered"][batch],
            flat["clicks"][batch],
            credits_of_steps[batch],
            masks,
        )
        gradient = self.objective.gradient(slates, of_batch)
        if self.settings.entropy_weight:
            gradient += self.settings.entropy_weight * slates.entropy_gradient()
        scores.backward(gradient / -len(batch), optimizer.gradients)
        optimizer.clip(self.settings.max_gradient_norm)
        optimizer.descend()
        return float(slates.conditional_entropies().sum()) / len(batch)

    # State.

    def _state_to_serve(self) -> types.State:
        actor_weights, critic_weights = (each.copied_weights() for each in self._optimizers)
        self._check_layers([*actor_weights, *critic_weights])
        return {
            "actor": actor_weights,
            "critic": critic_weights,
            "value_scale": list(self._scale),
        }

    def _state_to_train(self) -> types.State:
        return {
            "optimizers": [each.state() for each in self._optimizers],
            "rollouts": None if self._rollouts is None else self._rollouts.state_dict(),
        }

    def _check_to_serve(self, state: Mapping[str, Any]) -> None:
        owner = self.agent_name
        for name, own_weights in (("actor", self._scorer.weights), ("critic", self._critic)):
            bundles.arrays(owner, name, state[name], [array.shape for array in own_weights], "f")
        scale = state["value_scale"]
        if not isinstance(scale, (list, tuple)) or len(scale) != 2:
            bundles.refuse(owner, "value_scale", "two numbers", scale)
        bundles.number(owner, "value_scale", scale[0])
        bundles.number(owner, "value_scale", scale[1], 0.0)

    def _check_to_train(self, state: Mapping[str, Any]) -> None:
        owner, own = self.agent_name, [each.state() for each in self._optimizers]
        if not isinstance(state["optimizers"], list) or len(state["optimizers"]) != len(own):
            bundles.refuse(owner, "optimizers", f"{len(own)} states", state["optimizers"])
        for of_own, other in zip(own, state["optimizers"], strict=True):
            shapes = [array.shape for array in of_own]
            bundles.arrays(owner, "optimizers", other, shapes, "iuf")
        if state.get("rollouts") is not None:
            self.rollouts.check(owner, state["rollouts"])

    def check_last(self, owner: object, last: object, rows: tuple[int, ...]) -> None:
        """See the base class: features, slates and what the objective remembers of them."""
        if last is None:
            return
        if not isinstance(last, tuple) or len(last) != len(_SHOWN):
            bundles.refuse(owner, "last", "features, slates and what is remembered, or None", last)
        for name, array in zip(_SHOWN, last, strict=True):
            own = self.rollouts.arrays[name]
            kinds = "iu" if own.dtype.kind == "i" else "f"
            bundles.array(owner, f"last {name}", array, (*rows, *own.shape[2:]), kinds)

    def _restore_to_serve(self, state: Mapping[str, Any]) -> None:
        self._optimizers = self._new_optimizers(state["actor"], state["critic"])
        mean, spread = state["value_scale"]
        self._scale = float(mean), float(spread)

    def _restore_to_train(self, state: Mapping[str, Any]) -> None:
        for optimizer, of_optimizer in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.set_state(of_optimizer)
        if state.get("rollouts") is not None:
            self.rollouts.load_state_dict(state["rollouts"])
        elif self._rollouts is not None:
            self._rollouts.clear()  # They begin anew.

    def fingerprint_attributes(self) -> dict[str, Any]:
        """Returns the settings, the sizes and the networks, by name."""
        return {
            **vars(self.settings),
            **vars(self.objective),
            **self._sizes,
            "actor": self._optimizers[0],
            "critic": self._optimizers[1],
        }
