"""Laws of weights files: data only, every difference named, nothing true lost."""

from __future__ import annotations

import collections
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pellucid.errors import WeightsError
from pellucid.models.weights import fit_weights, read_weights


def small_net() -> nn.Sequential:
    return nn.Sequential(collections.OrderedDict(conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4), fc=nn.Linear(4, 2)))


def state(**changes: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {**small_net().state_dict(), **changes}


def fit(net: nn.Module, path: Path) -> None:
    fit_weights(net, read_weights(path), name="small", source=path)


@pytest.mark.parametrize("wrap", [
    lambda tensors: tensors,
    lambda tensors: {"epoch": 3, "state_dict": tensors},
    lambda tensors: {"model": {f"module.{key}": value for key, value in tensors.items()}},
    lambda tensors: {f"module._orig_mod.{key}": value for key, value in tensors.items()},
])  # fmt: skip
def test_wrapped_and_prefixed_checkpoints_give_the_same_network(tmp_path: Path, wrap: object) -> None:
    torch.save(wrap(state()), tmp_path / "w.pth")  # type: ignore[operator]
    net = small_net()
    fit(net, tmp_path / "w.pth")
    for key, value in net.state_dict().items():
        assert torch.equal(value, state()[key]), key


def test_half_precision_files_are_computed_in_float32(tmp_path: Path) -> None:
    half = {key: value.half().contiguous() for key, value in state().items() if "num_batches" not in key}
    save_file(half, tmp_path / "w.safetensors")
    net = small_net()
    fit(net, tmp_path / "w.safetensors")
    assert net.conv.weight.dtype == torch.float32
    assert torch.equal(net.conv.weight, half["conv.weight"].float())


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    save_file(state(), tmp_path / "safetensors.pth")
    torch.save(state(), tmp_path / "pickle.safetensors")
    for name in ("safetensors.pth", "pickle.safetensors"):
        assert torch.equal(read_weights(tmp_path / name)["conv.weight"], state()["conv.weight"])


def test_every_difference_is_named_with_its_count(tmp_path: Path) -> None:
    tensors = state(extra=torch.zeros(1)) | {"fc.weight": torch.zeros(10, 4)}
    for key in ("conv.weight", "conv.bias", "norm.weight", "norm.bias", "norm.num_batches_tracked"):
        del tensors[key]
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError) as caught:
        fit(small_net(), tmp_path / "w.safetensors")
    assert str(caught.value) == (
        f"the weights in {str(tmp_path / 'w.safetensors')!r} do not fit small: 4 missing (conv.weight, conv.bias, "
        "norm.weight, …); 1 unexpected (extra); 1 of another shape (fc.weight: 10x4 in the file, 2x4 in the network)."
    )


def test_a_refused_file_changes_nothing(tmp_path: Path) -> None:
    net = small_net()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    save_file(state(extra=torch.zeros(1)), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError):
        fit(net, tmp_path / "w.safetensors")
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_weights_are_named(tmp_path: Path, bad: float) -> None:
    bias = torch.zeros(4)
    bias[:2] = bad
    torch.save(state(**{"conv.bias": bias}), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"2 NaN or infinite values of 4 in 'conv.bias'"):
        fit(small_net(), tmp_path / "w.pth")


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("legacy", [False, True])
def test_pickled_code_is_refused_and_never_run(tmp_path: Path, legacy: bool) -> None:
    file, mark = tmp_path / "w.pth", tmp_path / "ran"
    content = {"state_dict": state(), "extra": Bomb(mark)}
    if legacy:
        file.write_bytes(pickle.dumps(content, protocol=4))
    else:
        torch.save(content, file)
    with pytest.raises(
        WeightsError,
        match=r"holds pickled code \((\S*mkdir|an instruction.*)\).*refused.*safetensors\.torch\.save_file",
    ):
        read_weights(file)
    assert not mark.exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(small_net(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"holds pickled code \(\S*Sequential\)"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize(("content", "message"), [
    (b"", "neither safetensors nor a PyTorch file"),
    (b"<html>not found</html>", "neither safetensors nor a PyTorch file"),
    (b"PK\x03\x04 cut short", "is damaged"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
])  # fmt: skip
def test_damaged_files_say_so(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        read_weights(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


def test_files_without_weights_say_what_they_hold(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "loss": 0.5}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"holds no weights, but 'epoch', 'loss'\. Save a state_dict\(\)"):
        read_weights(tmp_path / "w.pth")
    torch.save([1, 2], tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="holds list, and weights are tensors by name"):
        read_weights(tmp_path / "w.pth")


def test_missing_files_and_folders_say_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot read the weights file '.*none\.pth': No such file"):
        read_weights(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="is a folder"):
        read_weights(tmp_path)
