"""Where tasks run: processes of this machine, the workers of Ray or Dask, or any executor."""

from recsim.clusters import backend, dask_backend, ray_backend, remote_calls
from recsim.clusters.backend import BACKENDS, Backend, BackendLike, Buffer, connect

__all__ = [
    "BACKENDS",
    "Backend",
    "BackendLike",
    "Buffer",
    "backend",
    "connect",
    "dask_backend",
    "ray_backend",
    "remote_calls",
]
