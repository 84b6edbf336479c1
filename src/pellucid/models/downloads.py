"""Downloads that fail do so at once, in one line that names the way without a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pellucid.errors import WeightsError

__all__ = ["downloading", "require_hub"]

_CLIENTS = ("huggingface_hub", "httpx", "httpcore", "requests", "urllib")


@contextmanager
def downloading(name: str, host: str) -> Iterator[None]:
    """Turn what goes wrong while a library downloads the weights of `name` into a WeightsError.

    Raises:
        WeightsError: no network, no such file at the host, or a damaged download.
    """
    try:
        yield
    except Exception as error:  # each client raises its own kind; what is not one of theirs goes on
        damaged = isinstance(error, RuntimeError) and "invalid hash" in str(error)
        if not (isinstance(error, OSError) or damaged or type(error).__module__.startswith(_CLIENTS)):
            raise
        raise _failed(name, host, error) from error


def require_hub(name: str) -> None:
    """Ask the Hugging Face Hub for a sign of life, once and shortly.

    Its client repeats a failed request for half a minute per file before it says that there is no network.

    Raises:
        WeightsError: the hub cannot be reached, or HF_HUB_OFFLINE is set.
    """
    from huggingface_hub import constants, get_session

    host = constants.ENDPOINT.removeprefix("https://")
    if constants.is_offline_mode():
        raise _failed(name, host, ConnectionError("HF_HUB_OFFLINE is set"))
    with downloading(name, host):
        get_session().head(constants.ENDPOINT, timeout=10)  # seconds


def _failed(name: str, host: str, error: BaseException) -> WeightsError:
    reason = (str(error).strip() or type(error).__name__).partition("\n")[0].rstrip(".")
    return WeightsError(
        f"cannot download {name} from {host} ({reason}). Without a network, give a file with --weights FILE, "
        "or --weights none for random weights."
    )
