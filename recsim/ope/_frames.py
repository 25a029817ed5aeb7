"""Episode logs, a row for each impression, as the arrays of logged slates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recsim._internal import numbers, paths

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["arrays_of", "position_rewards"]

_KEY = ["user", "episode", "step"]
_NEEDED = (*_KEY, "position", "candidate", "reward")
_PROPENSITIES = {
    "slate_probability": "slate_propensities",
    "item_probability": "item_propensities",
    "prefix_probability": "prefix_propensities",
}


def arrays_of(episodes: pd.DataFrame | paths.Path, position_reward: str | None) -> dict[str, Any]:
    """Returns the arguments of a :class:`recsim.ope.log.SlateLog`, see its ``from_episodes``."""
    frame = _checked(episodes)
    if position_reward is not None and position_reward not in frame:
        raise ValueError(
            f"position_reward must be a column of the log, got {position_reward!r}; there are "
            f"{', '.join(map(str, frame.columns))}."
        )
    frame = frame.sort_values([*_KEY, "position"], kind="stable")
    slate_size = _slate_size(frame)

    def slates(name: str) -> np.ndarray:
        values: np.ndarray = frame[name].to_numpy().reshape(-1, slate_size)
        return values

    def firsts(name: str) -> np.ndarray:
        of_slates = slates(name)
        first: np.ndarray = of_slates[:, 0]
        if (of_slates != first[:, np.newaxis]).any():
            raise ValueError(f"The column {name!r} must be the same in all rows of a slate.")
        return first

    arrays: dict[str, Any] = {
        "items": slates("candidate"),
        "rewards": firsts("reward").astype(np.float64),
        **{f"{name}s": firsts(name) for name in _KEY},
    }
    for column, name in _PROPENSITIES.items():
        if column in frame and not frame[column].isna().all():
            values = frame[column].to_numpy(np.float64)
            _refuse_unknown(column, frame)
            by_slate = values.reshape(-1, slate_size)
            arrays[name] = by_slate[:, 0] if column == "slate_probability" else by_slate
    if "terminated" in frame:
        arrays["terminated"] = firsts("terminated").astype(np.bool_)
    if "propensity_samples" in frame and frame["propensity_samples"].notna().any():
        arrays["propensity_samples"] = int(frame["propensity_samples"].min())
    of_users = _numeric(frame, "user_feature")
    if of_users:
        arrays["user_features"] = np.stack([slates(name)[:, 0] for name in of_users], axis=1)
    if "response_click" in frame:
        arrays["clicks"] = slates("response_click").astype(np.float64)
    arrays["position_rewards"] = _position_rewards(frame, slate_size, position_reward)
    arrays.update(_candidates(frame))
    return arrays


def _checked(episodes: pd.DataFrame | paths.Path) -> pd.DataFrame:
    """Returns a data frame with the columns that are needed, each once, and numbers in them."""
    import pandas as pd

    if isinstance(episodes, pd.DataFrame):
        frame = episodes
    else:
        from recsim.logs import reader

        frame = reader.read_episodes(episodes)
    doubled = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
    if doubled:
        raise ValueError(f"The log has the column {', '.join(map(repr, doubled))} more than once.")
    missing = [name for name in _NEEDED if name not in frame]
    if missing:
        raise ValueError(
            f"The log must have the columns {', '.join(_NEEDED)}, got one without "
            f"{', '.join(missing)}."
        )
    if not len(frame):
        raise ValueError("The log is empty: it has no row.")
    for name in _NEEDED:
        if frame[name].dtype.kind not in "iuf":
            raise TypeError(f"The column {name!r} must hold numbers, got {frame[name].dtype}.")
        _refuse_missing(name, frame[name].to_numpy(np.float64))
    for name in _NEEDED[:-1]:
        if (frame[name] % 1 != 0).any() or (frame[name] < 0).any():
            wrong = frame[name][(frame[name] % 1 != 0) | (frame[name] < 0)].iloc[0]
            raise ValueError(
                f"The column {name!r} must hold integers, >= 0, got {numbers.described(wrong)}."
            )
    return frame.astype(dict.fromkeys(_NEEDED[:-1], np.int64))


def _refuse_unknown(column: str, frame: pd.DataFrame) -> None:
    """Raises ValueError where an agent knew the probabilities of some slates alone."""
    unknown = frame[frame[column].isna()].drop_duplicates(_KEY)
    if len(unknown):
        user, episode, step = unknown[_KEY].to_numpy()[0].tolist()
        raise ValueError(
            f"The column {column!r} must hold the probabilities of all slates or of none, got none "
            f"of {len(unknown)}, such as that of user {user}, episode {episode}, step {step}: the "
            "agent did not know them, as under action masks whose positions share some documents "
            "alone. Leave their users out, and the estimate is of the others; or leave the columns "
            "of probabilities out."
        )


def _refuse_missing(name: str, values: np.ndarray) -> None:
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise ValueError(
            f"The column {name!r} must hold finite numbers, got {values[wrong][0]} in row "
            f"{int(wrong.argmax())} and {int(wrong.sum()) - 1} others: fill them in, or leave "
            "their slates out."
        )


def _slate_size(frame: pd.DataFrame) -> int:
    """Returns the size of the slates of a sorted log, whose positions must have no gap."""
    sizes = frame.groupby(_KEY, sort=False).size()
    slate_size = int(sizes.iloc[0])
    if (sizes != slate_size).any():
        user, episode, step = sizes.index[int((sizes != slate_size).to_numpy().argmax())]
        raise ValueError(
            f"All slates must be of one size, got one of {slate_size} and one of "
            f"{sizes[sizes != slate_size].iloc[0]} (user {user}, episode {episode}, step {step}): "
            "evaluate those of each size by themselves."
        )
    positions = frame["position"].to_numpy().reshape(-1, slate_size)
    wrong = (positions != np.arange(slate_size)).any(axis=1)
    if wrong.any():
        row = frame.iloc[int(wrong.argmax()) * slate_size]
        raise ValueError(
            f"The positions of a slate of {slate_size} must be 0 to {slate_size - 1}, each once, "
            f"got {positions[wrong][0].tolist()} (user {row['user']}, episode {row['episode']}, "
            f"step {row['step']})."
        )
    return slate_size


def _numeric(frame: pd.DataFrame, prefix: str) -> list[str]:
    """Returns the columns of numbers of a kind of feature, in their order."""
    return [
        name
        for name in map(str, frame.columns)
        if name.startswith(prefix) and frame[name].dtype.kind in "iufb"
    ]


def _position_rewards(
    frame: pd.DataFrame, slate_size: int, column: str | None
) -> np.ndarray | None:
    """Returns what documents earned: a column, or one whose sums are the rewards."""

    def slates(name: str) -> np.ndarray:
        values: np.ndarray = frame[name].to_numpy(np.float64).reshape(-1, slate_size)
        return values

    if column is not None:
        values = slates(column)
        _refuse_missing(column, values.reshape(-1))
        return values
    rewards = slates("reward")[:, 0]
    clicks = slates("response_click") if "response_click" in frame else None
    for name in _numeric(frame, "response"):
        values = slates(name)
        found = position_rewards(values, clicks, rewards)
        if found is not None:
            return found
    return None


def position_rewards(
    values: np.ndarray, clicks: np.ndarray | None, rewards: np.ndarray
) -> np.ndarray | None:
    """Returns values of documents, or those of clicked ones, if they sum up to the rewards."""
    clicked = () if clicks is None else (values * clicks,)
    found: np.ndarray | None = None
    for candidate in (values, *clicked):
        if found is None and np.allclose(candidate.sum(axis=1), rewards, rtol=1e-4, atol=1e-6):
            found = candidate
    return found


def _candidates(frame: pd.DataFrame) -> dict[str, Any]:
    """Returns the features of all candidates, where a log of shown ones tells them.

    It does where a candidate is the same document throughout.
    """
    names = _numeric(frame, "item_feature")
    number = int(frame["candidate"].max()) + 1
    if not names or frame["candidate"].nunique() < number:
        return {}
    by_candidate = frame.groupby("candidate")[names]
    if not (by_candidate.nunique(dropna=False) == 1).all(axis=None):
        return {}
    features = by_candidate.first().to_numpy(np.float64)
    if not np.isfinite(features).all():
        return {}
    return {"candidate_features": features[np.newaxis]}
