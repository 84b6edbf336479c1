"""Laws of taps: they see what was there when it was there, and leave nothing behind."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pellucid as pl
from pellucid.errors import ModelError, TargetError
from pellucid.models.model import Model
from pellucid.models.taps import Tap


class Residual(nn.Module):
    """A convolution, a ReLU that overwrites it, and a sum that overwrites that."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.after = nn.Identity()
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.conv(x))
        out += 10
        out = self.after(out)
        return out.mean((2, 3))


class Shared(nn.Module):
    """One ReLU called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(3))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = self.relu(conv(x))
        return x.mean((2, 3))


class Counting(nn.Module):
    """Says how often it was called, through a list that copies share."""

    calls: ClassVar[list[int]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append(1)
        return x


class Raising(nn.Module):
    """Raises what it is told to, from the second run on: the first lists the layers."""

    error: BaseException | None = None

    def forward(self, x: Tensor) -> Tensor:
        if Raising.error is not None:
            raise Raising.error
        return x


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(1))


def seeded(make: type[nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def test_taps_see_what_later_in_place_operations_overwrite(images: Tensor) -> None:
    net = seeded(Residual)
    seen = Model(net, size=(6, 8)).tap(images, ["conv", "relu", "after", "output"])
    conv = net.conv(images)
    assert (seen["conv"] < 0).any()
    assert torch.equal(seen["conv"], conv)
    assert torch.equal(seen["relu"], conv.relu())
    assert torch.equal(seen["after"], conv.relu() + 10)
    assert torch.allclose(seen["output"], (conv.relu() + 10).mean((2, 3)))


def test_gradients_flow_from_an_overwritten_tap(images: Tensor) -> None:
    net = seeded(Residual)
    model = Model(net, size=(6, 8))
    images.requires_grad_()
    (through_tap,) = torch.autograd.grad(model.tap(images, ["conv", "after"])["conv"].sum(), images)
    (by_hand,) = torch.autograd.grad(net.conv(images).sum(), images)
    assert torch.allclose(through_tap, by_hand, atol=1e-6)


def test_a_shared_module_called_three_times_is_three_taps(images: Tensor) -> None:
    net = seeded(Shared)
    model = Model(net, size=(6, 8))
    assert [name for name in model.layers if name.startswith("relu")] == ["relu", "relu#2", "relu#3"]
    seen = model.tap(images, ["relu#3", "relu", "relu#2"])
    x = images
    for conv, name in zip(net.convs, ["relu", "relu#2", "relu#3"], strict=True):
        x = conv(x).relu()
        assert torch.equal(seen[name], x)
    assert torch.equal(model.tap(images, ["relu#2"])["relu#2"], seen["relu#2"])


def test_a_module_under_two_names_is_found_under_the_first() -> None:
    net = nn.Sequential(OrderedDict(first=nn.Conv2d(3, 3, 1), act=nn.ReLU(), second=nn.Conv2d(3, 3, 1)))
    net.add_module("again", net.act)
    model = Model(net, size=4)
    assert [name for name in model.layers if name != "output"] == ["first", "act", "second", "act#2"]
    with pytest.raises(TargetError, match=r"'again' of Sequential is the same module as 'act': act, act#2$"):
        model.layer("again")


def test_a_layer_never_reached_is_an_error_and_never_a_stale_tensor(images: Tensor) -> None:
    model = Model(seeded(Residual), size=(6, 8))
    with pytest.raises(TargetError, match=r"'unused' \(Linear\) of Residual is never reached by the forward"):
        model.tap(images, ["unused"])
    with pytest.raises(TargetError, match=r"no layer 'cnov' in Residual. Did you mean 'conv'\? \(pellucid layers"):
        model.tap(images, ["cnov"])
    with pytest.raises(TargetError, match=r"no layer 'relu#2' in Residual\."):
        model.tap(images, ["relu#2"])


def test_a_layer_not_reached_this_time_is_an_error() -> None:
    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bright = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return (self.bright(x) if x.mean() > 0.1 else x).mean((2, 3))

    model = Model(Skipping(), size=4)
    assert model.tap(torch.ones(1, 3, 4, 4), ["bright"])["bright"].shape == (1, 3, 4, 4)
    with pytest.raises(TargetError, match="layer 'bright' was not reached by this forward"):
        model.tap(torch.zeros(1, 3, 4, 4), ["bright"])


@pytest.mark.parametrize(
    ("wrap", "what"),
    [
        (lambda x: (x, "extra"), "tuple"),
        (lambda x: ["extra", [x]], "list"),
        (lambda x: {"aux": None, "features": x}, "dict"),
    ],
)
def test_modules_that_return_containers_are_tapped_at_their_first_tensor(
    wrap: object, what: str, images: Tensor
) -> None:
    class Wrapping(nn.Module):
        def forward(self, x: Tensor) -> object:
            return wrap(x * 2)  # type: ignore[operator]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Wrapping()

        def forward(self, x: Tensor) -> Tensor:
            result = self.inner(x)
            return (x * 2).mean((2, 3)) if result else x

    assert torch.equal(Model(Net(), size=(6, 8)).tap(images, ["inner"])["inner"], images * 2), what


@pytest.mark.parametrize("channels", [1, 5])
def test_any_number_of_input_channels(channels: int) -> None:
    net = nn.Sequential(nn.Conv2d(channels, 2, 3), nn.Flatten(), nn.LazyLinear(3))
    images = torch.rand(2, channels, 5, 5)
    net(images)
    model = Model(net, size=5, channels=channels)
    assert torch.equal(model.tap(images, ["0"])["0"], net[0](images))
    assert list(model.layers) == ["0", "1", "2", "output"]


def test_the_forward_stops_behind_the_last_requested_call(images: Tensor) -> None:
    model = Model(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), Counting(), nn.Flatten()), size=(6, 8))
    assert len(model.layers) == 5
    Counting.calls.clear()
    model.tap(images, ["1", "0"])
    assert Counting.calls == []
    model.tap(images, ["2"])
    model.tap(images, ["3"])
    model.tap(images, ["0", "output"])
    assert len(Counting.calls) == 3
    assert model.tap(images, []).keys() == set()
    assert len(Counting.calls) == 3


def state_of(net: nn.Module) -> object:
    """All that a user could notice of a module, hooks included."""
    hooks = [
        (list(part._forward_hooks.values()), list(part._forward_pre_hooks), list(part._backward_hooks))
        for part in net.modules()
    ]
    flags = [(part.training, type(part)) for part in net.modules()]
    tensors = [
        (n, t.data_ptr(), t.dtype, t.device, t.requires_grad, t.stride(), t._version, t.grad)
        for n, t in [*net.named_parameters(), *net.named_buffers()]
    ]
    return hooks, flags, tensors


@pytest.mark.parametrize("ending", ["success", "bad target", "Ctrl-C", "raising module", "other precision"])
def test_nothing_leaks_whatever_happens(ending: str, images: Tensor) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), Raising(), nn.ReLU(inplace=True), nn.Flatten())
    net.train()
    net[1].eval()
    net[0].weight.requires_grad_(False)
    net[0].to(memory_format=torch.channels_last)
    heard: list[int] = []
    net[0].register_forward_hook(lambda *_: heard.append(1))
    net(images).sum().backward()
    grad, before = net[1].weight.grad, state_of(net)
    model = Model(net, size=(6, 8))
    taps = [Tap("0"), Tap("3", pre=True)]
    try:
        model.tap(images, taps)
        assert heard  # the user's hooks are a part of the network
        if ending == "bad target":
            with pytest.raises(TargetError):
                model.tap(images, ["0", "nowhere"])
        elif ending == "Ctrl-C":
            Raising.error = KeyboardInterrupt()
            with pytest.raises(KeyboardInterrupt):
                model.tap(images, taps)
        elif ending == "raising module":
            Raising.error = RuntimeError("out of luck")
            with pytest.raises(ModelError, match="out of luck"):
                model.tap(images, taps)
        elif ending == "other precision":
            model.at(precision="bfloat16").tap(images, taps)
    finally:
        Raising.error = None
    assert state_of(net) == before
    assert net[1].weight.grad is grad
    private = model._module
    assert [len(part._forward_hooks) for part in private.modules()] == [0, 1, 0, 0, 0, 0]  # the user's own
    assert torch.overrides._get_current_function_mode_stack() == []
    assert model.tap(images, taps)[Tap("0")].shape == (2, 4, 4, 6)  # and it still works


def test_a_modules_own_lookup_error_is_not_taken_for_a_missing_layer(images: Tensor) -> None:
    model = Model(nn.Sequential(nn.Conv2d(3, 3, 1), Raising(), nn.Flatten()), size=(6, 8))
    assert model.layers
    Raising.error = KeyError("table")
    try:
        with pytest.raises(ModelError, match=r"cannot run on pictures of 3 x 6 x 8 px .*table"):
            model.tap(images, ["2"])
    finally:
        Raising.error = None


def test_two_threads_on_one_model_get_their_own_activations() -> None:
    class Meeting(nn.Module):
        """Both threads stop here in the middle of their forwards, so that these overlap."""

        barrier: threading.Barrier | None = None

        def forward(self, x: Tensor) -> Tensor:
            if Meeting.barrier is not None:
                Meeting.barrier.wait(30)
            return x + 0

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.meeting, self.relu = Meeting(), nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(3):
                x = self.relu(self.meeting(x)) + 1
            return x.mean((2, 3))

    model = Model(Net(), size=4)
    got: dict[int, Tensor] = {}
    layers: dict[int, list[str]] = {}

    def job(value: int) -> None:
        layers[value] = list(model.layers)  # both threads list them at once
        for _ in range(3):
            got[value] = model.tap(torch.full((1, 3, 4, 4), float(value)), ["relu#2"])["relu#2"]
            model.at(precision="float32")  # copied while the other taps

    Meeting.barrier = threading.Barrier(2)
    try:
        threads = [threading.Thread(target=job, args=(value,)) for value in (1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        Meeting.barrier = None
    assert layers[1] == layers[5] == ["meeting", "relu", "meeting#2", "relu#2", "meeting#3", "relu#3", "output"]
    assert [got[1].unique().tolist(), got[5].unique().tolist()] == [[2.0], [6.0]]
    assert not any(part._forward_hooks for part in model._module.modules())


def test_a_copy_made_during_a_tap_has_no_taps(images: Tensor) -> None:
    copies: list[Model] = []

    class Copying(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            copies.append(model.at(precision="float32"))
            return x

    model = Model(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Flatten()), size=(6, 8))
    assert model.layers
    model._module[0].register_forward_hook(lambda *_: Copying()(images))
    model.tap(images, ["0", "1"])
    assert copies
    assert [len(part._forward_hooks) for part in copies[0]._module.modules()] == [0, 1, 0, 0]


def test_a_module_named_output_is_no_obstacle(images: Tensor) -> None:
    net = nn.Sequential(OrderedDict(output=nn.Conv2d(3, 2, 1), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten()))
    model = Model(net, size=(6, 8))
    assert list(model.layers) == ["output#1", "pool", "flat", "output"]
    seen = model.tap(images, ["output#1", "output"])
    assert torch.equal(seen["output#1"], net.output(images))
    assert torch.equal(seen["output"], net(images))


def test_activations_of_some_images_and_of_the_untransformed_picture(images: Tensor) -> None:
    seen = Model(seeded(Residual), size=(6, 8)).tap(images, ["conv"])
    one = seen.rows(torch.tensor([1]))
    assert torch.equal(one["conv"], seen["conv"][1:])
    assert torch.equal(one.image, images[1:])
    assert seen.with_image(images * 0).image.sum() == 0
    assert list(seen) == [Tap("conv")]
    assert pl.Model is Model


class Rectified(nn.Module):
    """`z` is a convolution's result with both signs; `how` says what ends the tapped block."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.conv = nn.Conv2d(3, 4, 1)
        self.block = nn.Identity()
        self.act = {
            "module": nn.ReLU(),
            "in place": nn.ReLU(True),
            "relu6": nn.ReLU6(),
            "relu6 in place": nn.ReLU6(True),
        }.get(how, nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        z = self.conv(x) * 10
        ended = {
            "F.relu": lambda: F.relu(z),
            "F.relu in place": lambda: F.relu(z, inplace=True),
            "torch.relu": lambda: torch.relu(z),
            "method": lambda: z.relu(),
            "method in place": lambda: z.relu_(),
            "torch.relu_": lambda: torch.relu_(z),
            "F.relu6": lambda: F.relu6(z),
            "hardtanh": lambda: F.hardtanh(z, 0.0, 6.0),
            "dropout behind": lambda: F.dropout(F.relu(z), 0.5, self.training),
        }.get(self.how, lambda: self.act(z))()
        return self.block(ended).mean((2, 3))


HOWS = [
    *("module", "in place", "relu6", "relu6 in place", "F.relu", "F.relu in place", "torch.relu", "method"),
    *("method in place", "torch.relu_", "F.relu6", "hardtanh", "dropout behind"),
]


@pytest.mark.parametrize("how", HOWS)
def test_a_pre_tap_sees_what_the_rectifier_was_given(how: str, images: Tensor) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Rectified(how)
    z = net.conv(images) * 10
    after = z.clamp(0, 6 if "6" in how or how == "hardtanh" else None)
    model = Model(net, size=(6, 8))
    assert z.min() < 0
    for extra in ((), ("output",)):  # cut behind the block, and not
        seen = model.tap(images, [Tap("block", pre=True), "block", *extra])
        assert torch.equal(seen[Tap("block", pre=True)], z)
        assert torch.equal(seen["block"], after)
    alone = model.tap(images, [Tap("block", pre=True)])
    assert torch.equal(alone[Tap("block", pre=True)], z)


def test_where_there_is_no_rectifier_a_pre_tap_is_the_layer_itself(images: Tensor) -> None:
    net = Rectified("none")
    model = Model(net, size=(6, 8))
    seen = model.tap(images, [Tap("conv", pre=True), Tap("block", pre=True)])
    assert torch.equal(seen[Tap("conv", pre=True)], net.conv(images))
    assert torch.equal(seen[Tap("block", pre=True)], net.conv(images) * 10)


def test_hardtanh_at_its_defaults_is_no_rectifier(images: Tensor) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Hardtanh(), nn.Flatten())
    seen = Model(net, size=(6, 8)).tap(images, [Tap("1", pre=True)])
    assert torch.equal(seen[Tap("1", pre=True)], net[1](net[0](images)))


class Ending(nn.Module):
    """Blocks that end in a residual sum, before or behind the rectifier."""

    def __init__(self, relu_last: bool, in_place: bool) -> None:
        super().__init__()
        self.conv, self.relu_last, self.in_place = nn.Conv2d(3, 3, 1), relu_last, in_place
        self.block = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv(x) * 5
        if self.relu_last:
            out += x
            return self.block(F.relu(out, inplace=self.in_place)).mean((2, 3))
        out = F.relu(out, inplace=self.in_place)
        out += x - 1
        return self.block(out).mean((2, 3))


@pytest.mark.parametrize("in_place", [False, True])
def test_residual_sums_before_and_behind_the_rectifier(in_place: bool, images: Tensor) -> None:
    tap = Tap("block", pre=True)
    before = Ending(relu_last=True, in_place=in_place)
    seen = Model(before, size=(6, 8)).tap(images, [tap])
    assert torch.equal(seen[tap], before.conv(images) * 5 + images)
    behind = Ending(relu_last=False, in_place=in_place)
    seen = Model(behind, size=(6, 8)).tap(images, [tap])
    assert torch.equal(seen[tap], (behind.conv(images) * 5).relu() + (images - 1))  # it has no rectifier at its end


def test_a_pre_tap_reaches_through_a_concatenation_branch_by_branch(images: Tensor) -> None:
    class Inception(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(3, 2, 1) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            inner = torch.cat([F.relu(self.b(x), inplace=True), self.c(x)], dim=1)
            return torch.cat((F.relu(self.a(x)), inner), 1)

    net = nn.Sequential(OrderedDict(mixed=Inception(), flat=nn.Flatten()))
    tap = Tap("mixed", pre=True)
    seen = Model(net, size=(6, 8)).tap(images, [tap, "mixed", "output"])
    a, b, c = (conv(images) for conv in (net.mixed.a, net.mixed.b, net.mixed.c))
    assert torch.equal(seen[tap], torch.cat([a, b, c], 1))  # the last branch is not rectified
    assert torch.equal(seen["mixed"], torch.cat([a.relu(), b.relu(), c], 1))


def test_the_networks_output_has_a_pre_activation_too(images: Tensor) -> None:
    net = nn.Sequential(nn.Conv2d(3, 1, 1), nn.Flatten(), nn.ReLU())
    tap = Tap("output", pre=True)
    assert torch.equal(Model(net, size=(6, 8)).tap(images, [tap])[tap], net[0](images).flatten(1))
