"""Workers as actors of a Ray cluster: one already there, by its address, or one started on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from pellucid.atlas.renderer import Post, Renderer
from pellucid.errors import AtlasError, MissingExtra

__all__ = ["RayWorker", "ray_workers"]


class RayWorker:
    """An actor, replaced when it dies. `options` are those of `ray.remote`: how many CPUs and GPUs it takes."""

    def __init__(self, post: Post, **options: Any) -> None:
        self.post, self.options = post, options
        self._actor = self._started()

    def _started(self) -> Any:
        import ray

        return ray.remote(**self.options)(Renderer).remote(self.post)

    def submit(self, method: str, *arguments: Any) -> Future[Any]:
        """Call a method of its `Renderer`."""
        future: Future[Any] = getattr(self._actor, method).remote(*arguments).future()
        return future

    def is_lost(self, error: BaseException) -> bool:
        """Whether the actor or its machine is gone, and not the network or the store at fault."""
        import ray

        lost = (ray.exceptions.ActorDiedError, ray.exceptions.ActorUnavailableError, ray.exceptions.NodeDiedError)
        # An actor whose making raised counts as dead, too; its cause says what was wrong.
        return isinstance(error, lost) and "creation task" not in str(error)

    def restart(self) -> None:
        """Begin anew, wherever the cluster has room."""
        self.stop()
        self._actor = self._started()

    def stop(self) -> None:
        """End it, at once."""
        import ray

        ray.kill(self._actor)


def ray_workers(post: Post, count: int = 0, address: str | None = None) -> Sequence[RayWorker]:
    """Actors on the cluster at an address ("auto": the one that this machine belongs to), or on one started here.

    By default as many as it has GPUs, or one for each of its cores; `post.threads` are the cores of each.

    Raises:
        AtlasError: the cluster cannot be reached, or has no room for one worker.
        MissingExtra: Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtra("Ray", "ray") from None
    if not ray.is_initialized():
        # Read by a cluster that is started here, for this sweep alone: by default its workers yield to everything else.
        os.environ.setdefault("RAY_worker_niceness", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # asks for what becomes Ray's default
        try:
            # A dashboard is for a cluster that lasts; one started here ends with the sweep.
            dashboard = None if address else False
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=dashboard)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise AtlasError(f"cannot reach the Ray cluster {address or 'on this machine'!r}: {error}") from None
    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    threads = post.threads or 1
    gpus = int(resources.get("GPU", 0))
    room = gpus or int(resources.get("CPU", 0)) // threads
    if room < 1:
        raise AtlasError(
            f"the Ray cluster has no room for a worker of {threads} cores: {resources.get('CPU', 0):g} CPUs"
        )
    options = {"num_cpus": threads, "num_gpus": 1 if gpus else 0}
    return [RayWorker(post, **options) for _ in range(count or room)]
