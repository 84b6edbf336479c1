"""The peers: which packages each needs, and a virtual environment of its own for each.

An environment is a plain `venv` with the peer in it. Torch, torchvision, NumPy and Pillow are not installed again:
a .pth file puts the site-packages of the running interpreter behind the environment's own, so that every side computes
with the same build. The peer is installed without its declared dependencies (they would pull old or unneeded ones);
what it really imports is named below. pip then warns of what is declared and missing: it is not needed.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import sysconfig
import venv
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["PEERS", "Peer", "python_of"]


@dataclass(frozen=True)
class Peer:
    """A peer: what is installed (exactly, without dependencies), what that imports besides, and its worker."""

    packages: tuple[str, ...]
    imports: tuple[str, ...]
    worker: str
    makes_batches: bool = True


PEERS = {
    # Declares also scikit-learn, pytest, coverage, coveralls, future: not imported by its rendering.
    "lucent": Peer(("torch-lucent==0.1.8", "kornia==0.4.1"), ("decorator", "ipython", "tqdm"), "lucent_worker.py"),
    # Declares also mkl (220 MB, never imported); opencv-python is the same cv2, with windows that need a display.
    "torch-dreams": Peer(("torch-dreams==4.0.0",), ("opencv-python-headless", "tqdm"), "torch_dreams_worker.py"),
    "dreamlens": Peer(("dreamlens==0.1.1",), (), "dreamlens_worker.py"),
    # Imports einops without declaring it. DreamLens is there for one data file: it carries the very magnitude template
    # that Horama would download at its first call (its NOTICE gives address and SHA-256).
    "horama": Peer(
        ("horama==0.3.0", "dreamlens==0.1.1"), ("einops", "matplotlib", "tqdm"), "horama_worker.py", makes_batches=False
    ),
}


def python_of(name: str, folder: Path) -> Path:
    """The interpreter of a peer's environment below `folder`, made now if it is missing or out of date."""
    peer, home = PEERS[name], folder / name
    python = home / "bin" / "python"
    shared = sysconfig.get_paths()["purelib"]
    recipe = json.dumps({**asdict(peer), "shared": shared, "python": sys.version})
    stamp, wanted = home / "stamp", hashlib.sha256(recipe.encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    print(f"making the environment of {name} in {home}", flush=True)
    venv.create(home, clear=True, with_pip=True, symlinks=True)
    own = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    Path(own, "shared.pth").write_text(shared + "\n")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "--no-deps", *peer.packages], check=True)
    if peer.imports:
        subprocess.run([*install, *peer.imports], check=True)
    stamp.write_text(wanted)
    return python
