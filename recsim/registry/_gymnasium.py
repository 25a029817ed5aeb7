"""The environments in Gymnasium's registry."""

from __future__ import annotations

from recsim.registry import _environments

__all__ = ["register_in_gymnasium"]


def register_in_gymnasium() -> None:
    """Registers the ids of :data:`ENVIRONMENTS` for ``gymnasium.make`` and ``gymnasium.make_vec``.

    ``import recsim`` does so. Call it again for an entry of your own. An id that Gymnasium knows
    already is left as it is.
    """
    import gymnasium

    for name, entry in _environments.with_fitted().items():
        for gymnasium_id, variant in entry.gymnasium_ids().items():
            if gymnasium_id in gymnasium.registry:
                continue
            of_variant = {} if variant is None else {"variant": variant}
            gymnasium.register(
                gymnasium_id,
                entry_point="recsim.simulator.gymnasium_env:make",
                vector_entry_point="recsim.simulator.gymnasium_env:make_vec",
                max_episode_steps=entry.max_episode_steps,
                kwargs={"environment_name": name, **of_variant},
            )
