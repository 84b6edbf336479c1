"""Laws of models: the declared contract is kept, the weights are the network's own, mistakes are told in one line."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pellucid.errors import ModelError, TargetError, WeightsError
from pellucid.models.class_names import find_class
from pellucid.models.model import Model
from pellucid.models.taps import Tap


def red_detector() -> nn.Module:
    """One unit that is 2 red - green - blue, then a ReLU, then two classes: red and not red."""
    conv = nn.Conv2d(3, 1, 1)
    fc = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([2.0, -1.0, -1.0]).view(1, 3, 1, 1))
        conv.bias.zero_()
        fc.weight.copy_(torch.tensor([[3.0], [-3.0]]))
    return nn.Sequential(OrderedDict(conv=conv, relu=nn.ReLU(), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=fc))


def picture(red: float, green: float, blue: float, size: tuple[int, int] = (4, 4)) -> Tensor:
    return torch.tensor([red, green, blue], dtype=torch.float32).view(1, 3, 1, 1).expand(1, 3, *size)


def test_normalisation_is_what_was_declared_and_nothing_else() -> None:
    image = picture(0.9, 0.5, 0.1)
    assert torch.allclose(Model(red_detector(), size=4)(image), torch.tensor([[3.6, -3.6]]))
    model = Model(red_detector(), size=4, mean=(0.5, np.float64(0.4), 0.1), std=[0.1, 0.5, 0.25])
    # red (0.9 - 0.5) / 0.1 = 4, green 0.2, blue 0: 8 - 0.2 = 7.8, times 3
    assert torch.allclose(model(image), torch.tensor([[23.4, -23.4]]))


def test_value_range_is_what_layers_are_listed_with() -> None:
    seen: list[Tensor] = []

    def forward(module: nn.Module, images: Tensor) -> Any:
        seen.append(images)
        return module(images)

    model = Model(red_detector(), size=8, value_range=(-3.0, 5.0), forward=forward)
    assert model.layers
    assert -3 <= seen[0].min() < -2
    assert 4 < seen[0].max() <= 5
    assert model.value_range == (-3.0, 5.0)


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        ({"mean": (0.5,), "channels": 3}, "mean has 1 values, but Sequential has 3 channels"),
        ({"mean": (0.5,) * 3, "std": (1.0,)}, "std has 1 values, but Sequential has 3 channels"),
        ({"std": (1.0, 0.0, 1.0)}, r"std must be positive, but it is \(1.0, 0.0, 1.0\)"),
        ({"std": (1.0, float("nan"), -1.0)}, "std must be positive"),
        ({"mean": 0.5}, r"mean is one number for each channel"),
        ({"mean": ("a", "b", "c")}, r"mean is one number for each channel, as \(0.5, 0.5, 0.5\)"),
        ({"size": 0}, r"size is a number of pixels or \(height, width\), both at least 1"),
        ({"value_range": (1.0, 0.0)}, r"value_range is \(lowest, highest\), and \(1.0, 0.0\) is empty"),
        ({"axes": {"conv": "bcwh"}}, "no axes 'bcwh'"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_an_inconsistent_contract_is_an_error(contract: dict[str, Any], message: str) -> None:
    make = getattr(Model.__init__, "__wrapped__", Model.__init__)  # beyond the shape checker of the tests
    with pytest.raises(ModelError, match=message):
        make(object.__new__(Model), red_detector(), **contract)


def test_only_modules_are_taken() -> None:
    make = getattr(Model.__init__, "__wrapped__", Model.__init__)
    with pytest.raises(ModelError, match=r"pl.Model takes a torch.nn.Module, not function"):
        make(object.__new__(Model), lambda x: x)


def test_a_picture_with_other_channels_is_an_error_and_not_broadcast() -> None:
    model = Model(red_detector(), size=4, mean=(0.5, 0.5, 0.5), name="red")
    with pytest.raises(ModelError, match=r"red takes floats \[b, 3, h, w\] from 0 to 1, not float32 \[1, 1, 4, 4\]"):
        model(torch.rand(1, 1, 4, 4))
    with pytest.raises(ModelError, match=r"red takes floats"):
        model.tap(torch.rand(2, 4, 4, 4), ["conv"])


def test_a_picture_too_small_for_the_network_is_an_error() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 5), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(2, 2))
    model = Model(net, size=8, name="small")
    assert len(model.layers) == 5
    message = r"^small cannot run on pictures of 3 x 4 x 8 px \(declared: 3 x 8 x 8\): [^\n]+$"
    with pytest.raises(ModelError, match=message):
        model.tap(torch.rand(1, 3, 4, 8), ["0"])
    with pytest.raises(ModelError, match=message):
        model.layers_at((4, 8))


def test_device_and_dtype_follow_the_model() -> None:
    model = Model(red_detector().double(), size=4)
    image = picture(1, 0, 0).double()
    assert model(image).dtype == torch.float32
    assert model.at(precision="float64")(image.float()).dtype == torch.float64
    assert torch.equal(Model(red_detector().half(), size=4)(image), torch.tensor([[6.0, -6.0]]))


@pytest.mark.parametrize("precision", ["float64", "bfloat16", "float32"])
def test_other_precisions_are_copies_that_agree(precision: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(128, 5)
        )
        images = torch.rand(2, 3, 8, 8)
    model = Model(net, size=8, mean=(0.4, 0.5, 0.6))
    reference = model(images)
    other = model.at(precision=precision)  # type: ignore[arg-type]
    assert other.precision == precision
    tolerance = {"float64": 1e-5, "float32": 1e-5, "bfloat16": 0.05}[precision]
    assert torch.allclose(other(images).float(), reference, atol=tolerance)
    assert (other(images).double() - reference.double()).abs().max() > 0 or precision == "float32"
    assert other.tap(images, ["3"])["3"].dtype == getattr(torch, precision)
    assert other.weights_hash == model.weights_hash
    assert other.layers == model.layers
    assert torch.equal(model(images), reference)  # the original is what it was
    back = other.at(precision="float32")
    assert torch.allclose(back(images), reference, atol=0.05)
    assert {p.dtype for p in back._module.parameters()} == {torch.float32}


def test_an_unknown_precision_is_an_error() -> None:
    at = getattr(Model.at, "__wrapped__", Model.at)
    with pytest.raises(ModelError, match=r"no precision 'fp8'\. There are: bfloat16, float16, float32, float64\."):
        at(Model(red_detector(), size=4), precision="fp8")


def test_networks_with_weights_of_five_axes_have_other_precisions_too() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flat, self.deep = nn.Conv2d(3, 2, 1), nn.Conv3d(1, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.deep(self.flat(x).unsqueeze(1)).flatten(1)

    assert Model(Net(), size=4).at(precision="bfloat16")(torch.rand(1, 3, 4, 4)).shape == (1, 32)


def test_attention_runs_in_bfloat16() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 2, stride=2)
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.patches(x).flatten(2).transpose(1, 2)).mean(1)

    model = Model(Net(), size=4)
    images = torch.rand(2, 3, 4, 4, requires_grad=True)
    seen = model.at(precision="bfloat16").tap(images, ["layer"])["layer"]
    seen.float().sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert torch.allclose(seen.float(), model.tap(images, ["layer"])["layer"], atol=0.1)


def test_the_private_copy_is_frozen_and_independent() -> None:
    net = red_detector().train()
    model = Model(net, size=4)
    with torch.no_grad():
        net.conv.weight.zero_()
    assert torch.allclose(model(picture(1, 0, 0)), torch.tensor([[6.0, -6.0]]))
    assert not any(p.requires_grad for p in model._module.parameters())
    assert not model._module.training
    model.tap(picture(1, 0, 0), ["conv", "output"])
    assert net.training


def test_weights_hash_tells_weights_apart() -> None:
    hashes = [Model(red_detector(), size=size).weights_hash for size in (4, 8)]
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == 16
    other = red_detector()
    with torch.no_grad():
        other.fc.weight[1, 0] += 1e-6
    assert Model(other, size=4).weights_hash != hashes[0]
    turned = red_detector()
    turned.conv.weight = nn.Parameter(turned.conv.weight.view(1, 1, 3, 1))
    assert Model(turned, size=4).weights_hash != hashes[0]  # the same bytes in another shape
    assert Model(red_detector().to(memory_format=torch.channels_last), size=4).weights_hash == hashes[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_an_error(value: float) -> None:
    net = red_detector()
    with torch.no_grad():
        net.fc.weight[0, 0] = value
    with pytest.raises(WeightsError, match=r"Sequential has NaN or infinite values in 'fc\.weight'"):
        Model(net, size=4)


def test_a_mask_of_infinities_is_no_broken_weight() -> None:
    net = red_detector()
    net.register_buffer("mask", torch.full((2, 2), float("-inf")))
    assert Model(net, size=4).layers


def test_a_state_that_is_no_tensor_is_ignored() -> None:
    class Stateful(nn.ReLU):
        def get_extra_state(self) -> object:
            return {"version": 2}

    net = nn.Sequential(nn.Conv2d(3, 2, 1), Stateful(), nn.Flatten())
    assert len(Model(net, size=4).weights_hash) == 16


def test_a_module_that_cannot_be_copied_is_an_error() -> None:
    class Stubborn(nn.Module):
        def __deepcopy__(self, memo: object) -> nn.Module:
            raise RuntimeError("there can be only one")

    with pytest.raises(ModelError, match=r"Stubborn cannot be copied \(there can be only one\); build it in a factory"):
        Model(Stubborn())


def test_wrappers_for_several_devices_are_taken_off() -> None:
    model = Model(nn.DataParallel(nn.DataParallel(red_detector())), size=4)
    assert list(model.layers) == ["conv", "relu", "pool", "flat", "fc", "output"]
    assert torch.allclose(model(picture(1, 0, 0)), torch.tensor([[6.0, -6.0]]))


def test_nested_names() -> None:
    net = nn.Sequential(OrderedDict(module=nn.Sequential(OrderedDict(stage=nn.ModuleDict({"a": nn.Conv2d(3, 2, 1)})))))
    net.module.stage.forward = lambda x: net.module.stage["a"](x)
    net.forward = lambda x: net.module(x).flatten(1)  # such a forward runs the original: it cannot be seen through
    model = Model(net, size=4)
    with pytest.raises(TargetError, match=r"'module.stage.a' \(Conv2d\) of Sequential is never reached"):
        model.layer("module.stage.a")


class Answer(NamedTuple):
    aux: Tensor
    logits: Tensor


class Answers(nn.Module):
    """Returns what `form` says, from an image's first channels."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Any:
        good, other = x.mean((2, 3)), x.amax((2, 3))
        return {
            "tensor": good,
            "tuple": (good, other),
            "dict": {"aux": other, "logits": good},
            "segmentation": OrderedDict(aux=other, out=good),
            "named tuple": Answer(other, good),
            "unnamed": {"first": good, "second": other},
            "nothing": "nothing",
        }[self.form]


@pytest.mark.parametrize("form", ["tensor", "tuple", "dict", "segmentation", "named tuple", "unnamed"])
def test_the_logits_are_found_in_whatever_comes_out(form: str) -> None:
    images = torch.rand(2, 3, 4, 4)
    model = Model(Answers(form), size=4)
    assert torch.equal(model(images), images.mean((2, 3)))
    assert model.layer("output").units == 3


def test_output_says_where_the_logits_are() -> None:
    images = torch.rand(2, 3, 4, 4)
    for form, choice in (("dict", "aux"), ("tuple", 1), ("unnamed", lambda result: result["second"])):
        assert torch.equal(Model(Answers(form), size=4, output=choice)(images), images.amax((2, 3)))
    with pytest.raises(ModelError, match="output='scores' does not fit the result of Answers: KeyError"):
        Model(Answers("dict"), size=4, output="scores")(images)
    with pytest.raises(ModelError, match=r"Answers returned no tensor, but str; pass output=… to pl\.Model"):
        Model(Answers("nothing"), size=4)(images)


def test_forward_serves_networks_that_want_a_dict() -> None:
    class DictNet(nn.Module):
        def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            return {"logits": batch["pixel_values"].mean((2, 3))}

    images = torch.rand(2, 3, 4, 4)
    with pytest.raises(ModelError, match="DictNet cannot run on pictures of 3 x 4 x 4 px"):
        Model(DictNet(), size=4)(images)
    model = Model(DictNet(), size=4, forward=lambda net, x: net({"pixel_values": x}))
    assert torch.equal(model(images), images.mean((2, 3)))


def test_a_network_without_a_row_of_outputs_has_layers_but_no_classes() -> None:
    model = Model(nn.Sequential(nn.Conv2d(3, 5, 1)), size=4, name="dense")
    assert list(model.layers) == ["0"]
    assert model(torch.rand(1, 3, 4, 4)).shape == (1, 5, 4, 4)
    with pytest.raises(TargetError, match=r"dense does not return one row \[k\] for each picture; pass output=…"):
        model.class_index("0")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_softmax_at_the_end_is_noticed(precision: str) -> None:
    softmax = nn.Sequential(red_detector(), nn.Softmax(1))
    assert Model(softmax, size=4).at(precision=precision).output_kind == "probabilities"  # type: ignore[arg-type]
    assert Model(red_detector(), size=4).at(precision=precision).output_kind == "logits"  # type: ignore[arg-type]


CLASSES = (
    "tench, Tinca tinca",
    "tabby, tabby cat",
    "tiger cat",
    "crane",
    "Crane",
    "crane",
    "catamaran",
    "Egyptian Cat",
)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("tabby", 1),
        ("TABBY CAT", 1),
        ("tinca tinca", 0),
        ("tiger cat", 2),
        ("egyptian cat", 7),
        ("egypt", 7),
        ("Crane", 4),
    ],
)
def test_class_by_name(name: str, index: int) -> None:
    assert find_class(name, CLASSES, "net") == index


def test_a_class_name_that_fits_several_or_none_is_an_error() -> None:
    with pytest.raises(
        TargetError, match=r"class 'crane' of net could be 'crane' \(3\), 'crane' \(5\): give the whole"
    ):
        find_class("crane", CLASSES, "net")
    with pytest.raises(
        TargetError, match=r"class 'cat' of net could be 'tabby, tabby cat' \(1\), 'tiger cat' \(2\), 'cat"
    ):
        find_class("cat", CLASSES, "net")
    with pytest.raises(TargetError, match=r"no class 'taby' in net\. Did you mean 'tabby'"):
        find_class("taby", CLASSES, "net")


def test_class_by_index() -> None:
    model = Model(red_detector(), size=4, name="red", classes=["red", "not red"])
    assert [model.class_index(name) for name in ("1", "red", "not red")] == [1, 0, 1]
    with pytest.raises(TargetError, match="class 2 is out of range: red has 2 classes, 0 to 1"):
        model.class_index("2")
    with pytest.raises(TargetError, match="red has no class names; give an index, 0 to 1, instead of 'red'"):
        Model(red_detector(), size=4, name="red").class_index("red")
    with pytest.raises(ModelError, match="red has 2 outputs, but 3 class names were given"):
        Model(red_detector(), size=4, name="red", classes=["a", "b", "c"]).class_index("a")


def test_red_detector_by_hand() -> None:
    model = Model(red_detector(), size=4)
    image = torch.cat([picture(1, 0, 0), picture(0.5, 0.5, 1)]).requires_grad_()
    seen = model.tap(image, [Tap("relu"), Tap("relu", pre=True), Tap("output")])
    assert torch.equal(seen[Tap("relu")].mean((1, 2, 3)), torch.tensor([2.0, 0.0]))
    assert torch.equal(seen[Tap("relu", pre=True)].mean((1, 2, 3)), torch.tensor([2.0, -0.5]))
    assert torch.equal(seen[Tap("output")], torch.tensor([[6.0, -6.0], [0.0, 0.0]]))
    (gradient,) = torch.autograd.grad(seen[Tap("output")][:, 0].sum(), image)
    by_hand = torch.tensor([6.0, -3.0, -3.0]).view(3, 1, 1).expand(3, 4, 4) / 16  # 3 * (2, -1, -1) over 16 places
    assert torch.allclose(gradient[0], by_hand)
    assert gradient[1].abs().max() == 0  # off
