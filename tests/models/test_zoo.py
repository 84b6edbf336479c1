"""Laws of the zoo: the contract comes from the zoo's metadata, and bad input ends in one helpful line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pellucid.errors import MissingExtra, ModelError, WeightsError
from pellucid.models import zoo
from pellucid.models.embedded import SmallInception
from pellucid.models.model import Model
from pellucid.models.zoo import available, load

RESNET20 = '''
import torch
from torch import nn
import torch.nn.functional as F
from widths import WIDTHS


class Block(nn.Module):
    """Two 3x3 convolutions; the shortcut subsamples and pads channels with zeros (option A)."""

    def __init__(self, a, b, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
        self.stride, self.more = stride, b - a

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more // 2, self.more // 2))
        return F.relu(x + y)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        widths = (16, *WIDTHS)
        for i, (a, b) in enumerate(zip(widths, WIDTHS), 1):
            blocks = [Block(a if j == 0 else b, b, 2 if i > 1 and j == 0 else 1) for j in range(3)]
            self.add_module(f"layer{i}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def resnet20():
    return ResNet20()
'''
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def write_py(folder: Path, code: str) -> str:
    (folder / "net.py").write_text(code)
    return str(folder / "net.py")


# ---- FILE.py:factory


def test_a_factory_file_loads_with_its_weights_and_contract(tmp_path: Path) -> None:
    (tmp_path / "widths.py").write_text("WIDTHS = (16, 32, 64)\n")
    file = write_py(tmp_path, RESNET20)
    torch.manual_seed(0)
    trained = load(f"{file}:resnet20", size=32)
    weights = {key: value.clone() for key, value in trained._module.state_dict().items()}
    save_file(weights, tmp_path / "w.safetensors")
    model = load(
        f"{file}:resnet20", weights=tmp_path / "w.safetensors", size=32, classes=list("abcdefghij"), **IMAGENET
    )
    assert model.weights_hash == trained.weights_hash
    assert (model.size, model.mean, model.std) == ((32, 32), IMAGENET["mean"], IMAGENET["std"])
    assert model.class_index("c") == 2
    assert (model.layers["layer3"].shape, model.layers["layer1.0.conv1"].units) == ((64, 8, 8), 16)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(IMAGENET[key])[:, None, None] for key in ("mean", "std"))
    assert torch.allclose(model(images), trained((images - mean) / std), atol=1e-5)
    assert str(tmp_path) not in sys.path


def test_a_factory_may_return_a_model_with_its_own_contract(tmp_path: Path) -> None:
    code = (
        "import pellucid as pl, torch\ndef build():\n    return pl.Model(torch.nn.Conv2d(1, 2, 3), size=9, channels=1)"
    )
    model = load(f"{write_py(tmp_path, code)}:build")
    assert isinstance(model, Model)
    assert model.size == (9, 9)
    assert load(f"{write_py(tmp_path, code)}:build", size=32).size == (32, 32)
    save_file({"weight": torch.ones(2, 1, 3, 3), "bias": torch.zeros(2)}, tmp_path / "ones.safetensors")
    filled = load(f"{write_py(tmp_path, code)}:build", weights=tmp_path / "ones.safetensors")
    assert torch.allclose(filled(torch.ones(1, 1, 9, 9)), torch.tensor(9.0))
    assert filled.weights_hash != model.weights_hash
    with pytest.raises(ModelError, match="returns a Model, which declares its own input and classes"):
        load(f"{write_py(tmp_path, code)}:build", mean=[0.5], std=[0.5])


@pytest.mark.parametrize(("code", "message"), [
    ("def build():\n    return 3", r"returned int, and not a torch\.nn\.Module"),
    ("x = 1\ny = undefined_name\n", r"net\.py:2: NameError: name 'undefined_name' is not defined"),
    ("def build():\n    x = 1\n    raise ValueError('too\\nbad')", r"net\.py:3: ValueError: too$"),
    ("def build(:\n    pass", r"net\.py:1: SyntaxError"),
    ("import no_such_library", r"net\.py:1: ModuleNotFoundError: No module named 'no_such_library'"),
    ("import sys\nsys.exit(3)", r"net\.py:2: SystemExit: 3"),
    ("def build(depth):\n    pass", r"net\.py.*TypeError: build\(\) missing 1 required positional argument"),
    ("def built():\n    pass", r"no function 'build' in .*net\.py\. Did you mean 'built'"),
])  # fmt: skip
def test_errors_in_a_factory_file_name_its_line(tmp_path: Path, code: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load(f"{write_py(tmp_path, code)}:build", size=32)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in sys.path


def test_a_factory_file_must_exist_and_its_size_be_known(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no file 'absent\.py' for the network absent\.py:build"):
        load("absent.py:build")
    with pytest.raises(ModelError, match=r"which function of net\.py builds the network\? Write net\.py:FUNCTION"):
        load("net.py")
    file = write_py(tmp_path, "import torch\ndef build():\n    return torch.nn.Conv2d(3, 4, 3)")
    with pytest.raises(ModelError, match="does not say how large its pictures are: give --size"):
        load(f"{file}:build")
    with pytest.raises(ModelError, match="mean and std belong together"):
        load(f"{file}:build", size=32, mean=(0.5, 0.5, 0.5))


# ---- the embedded networks


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of assets with a random network, in the form in which training exports."""
    torch.manual_seed(0)
    half = {k: v.half() for k, v in SmallInception().state_dict().items() if "num_batches" not in k}
    save_file(half, tmp_path / "plain.safetensors")
    card = {"input": {"mean": [0.48, 0.45, 0.40], "std": [0.28, 0.27, 0.28], "size_px": 64}}
    for name in ("plain", "default"):
        (tmp_path / f"{name}.json").write_text(json.dumps(card))
    (tmp_path / "classes.txt").write_text((Path(str(zoo.ASSETS)) / "classes.txt").read_text())
    monkeypatch.setattr(zoo, "ASSETS", tmp_path)
    return tmp_path


def test_the_embedded_network_reads_its_card_and_half_precision_weights(assets: Path) -> None:
    model = load("plain")
    assert (model.name, model.size, model.mean, model.std) == (
        "plain",
        (64, 64),
        (0.48, 0.45, 0.40),
        (0.28, 0.27, 0.28),
    )
    assert model.classes is not None
    assert (len(set(model.classes)), model.classes[0], model.class_index("goldfish")) == (200, "goldfish", 0)
    assert model.layers["mixed4a"].shape == (304, 8, 8)
    assert model.layers["output"].units == 200
    assert all(p.dtype == torch.float32 for p in model._module.parameters())
    assert load("plain", weights=assets / "plain.safetensors").weights_hash == model.weights_hash
    assert load("plain", weights="none").weights_hash != model.weights_hash


@pytest.mark.parametrize("spec", ["plain", "torchvision:squeezenet1_1", "timm:test_vit"])
def test_random_weights_are_the_same_every_time_and_take_nobodys_random_numbers(spec: str) -> None:
    before = torch.random.get_rng_state()
    first = load(spec, weights="none").weights_hash
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    assert load(spec, weights="none").weights_hash == first


def test_an_installation_without_the_weights_says_so(assets: Path) -> None:
    with pytest.raises(WeightsError, match=r"default\.safetensors is missing in this installation"):
        load("default")


# ---- names


@pytest.mark.parametrize(("spec", "message"), [
    ("resnet50", r"no model 'resnet50'\. Did you mean 'torchvision:resnet50' or 'timm:resnet50'\?"),
    ("defualt", r"Did you mean 'default'\?"),
    ("torchvision:googelnet", r"no model 'googelnet' in torchvision\. Did you mean 'googlenet'"),
    ("torchvision:fasterrcnn_resnet50_fpn", r"\(detection\) does not map one picture"),
    ("timm:resnet18.a1_in1", r"no model 'resnet18\.a1_in1' in timm\. Did you mean 'resnet18\.a1_in1k'"),
    ("tf:resnet50", "Forms: default, plain, torchvision:NAME, timm:NAME, hf:ID or hf:FOLDER, FILE.py:factory"),
    ("torchvision:", "Forms: default"),
    ("hf:./absent", r"no folder './absent'\. A model of the hub is written hf:OWNER/NAME"),
])  # fmt: skip
def test_unknown_models_name_the_nearest(spec: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("spec", "module", "extra"), [
    ("torchvision:resnet18", "torchvision", "torchvision"), ("timm:resnet18", "timm", "timm"),
    ("hf:microsoft/resnet-18", "transformers", "hf"),
])  # fmt: skip
def test_a_missing_library_names_its_pip_line(
    spec: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'pellucid\[{extra}\]'"):
        load(spec, weights="none")


def test_available_lists_by_library_and_pattern() -> None:
    everything = available()
    assert everything["embedded"] == ["default", "plain"]
    assert "torchvision:googlenet" in everything["torchvision"]
    assert "timm:vit_base_patch16_224" in everything["timm"]
    assert not any("fasterrcnn" in name for name in everything["torchvision"])
    assert available("GoogLeNet") == {"embedded": [], "torchvision": ["torchvision:googlenet"], "timm": []}
    assert available("torchvision:vit_?_16")["torchvision"] == ["torchvision:vit_b_16", "torchvision:vit_l_16"]


# ---- contracts from the zoo's own metadata


def test_torchvision_contract_comes_from_its_weights() -> None:
    model = load("torchvision:squeezenet1_1", weights="none")
    assert (model.mean, model.std, model.size) == (IMAGENET["mean"], IMAGENET["std"], (224, 224))
    assert model.classes is not None
    assert (len(model.classes), model.classes[281]) == (1000, "tabby")


@pytest.mark.parametrize(("name", "size_px"), [("googlenet", 224), ("inception_v3", 299)])
def test_transform_input_is_on_exactly_with_the_zoo_normalisation(name: str, size_px: int) -> None:
    model = load(f"torchvision:{name}", weights="none")
    assert model._module.transform_input is True
    assert model.size == (size_px, size_px)
    own = load(f"torchvision:{name}", weights="none", mean=(0.5,) * 3, std=(0.5,) * 3)
    assert own._module.transform_input is False


def test_a_file_with_auxiliary_heads_fits_googlenet(tmp_path: Path) -> None:
    from torchvision.models import googlenet

    torch.manual_seed(0)
    whole = googlenet(weights=None, aux_logits=True, init_weights=False, transform_input=True).eval()
    torch.save(whole.state_dict(), tmp_path / "googlenet.pth")
    model = load("torchvision:googlenet", weights=tmp_path / "googlenet.pth", size=64)
    images = torch.rand(1, 3, 64, 64)
    mean, std = (torch.tensor(IMAGENET[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        assert torch.allclose(model(images), whole((images - mean) / std), atol=1e-4)
    with pytest.raises(WeightsError, match=r"do not fit torchvision:resnet18: \d+ missing \(.*\d+ unexpected \("):
        load("torchvision:resnet18", weights=tmp_path / "googlenet.pth")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("name", "file"), [
    ("googlenet", "googlenet-1378be20.pth"), ("inception_v3", "inception_v3_google-0cc3c7bd.pth"),
])  # fmt: skip
def test_weights_in_torchvisions_cache_need_no_network(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.models import get_model

    torch.manual_seed(0)
    whole = get_model(name, weights=None, aux_logits=True, init_weights=False)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(whole.state_dict(), tmp_path / "hub" / "checkpoints" / file)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    model = load(f"torchvision:{name}")
    assert model._module.transform_input is True
    assert torch.equal(model._module.fc.weight, whole.fc.weight)


def test_timm_contract_comes_from_its_configuration() -> None:
    model = load("timm:test_vit.r160_in1k", weights="none")
    assert (model.mean, model.std, model.size) == ((0.5,) * 3, (0.5,) * 3, (160, 160))
    assert model.classes is not None
    assert model.classes[281] == "tabby, tabby cat"
    model = load("timm:convnext_atto.d2_in1k", weights="none")
    assert (model.mean, model.std, model.size) == (IMAGENET["mean"], IMAGENET["std"], (224, 224))


# ---- Hugging Face


@pytest.fixture(scope="module")
def hf_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    folder = tmp_path_factory.mktemp("vit")
    config = ViTConfig(
        image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        id2label={0: "cat", 1: "dog", 2: "goldfish"},
    )  # fmt: skip
    torch.manual_seed(0)
    ViTForImageClassification(config).save_pretrained(folder)
    processor = ViTImageProcessor(
        size={"height": 32, "width": 32}, image_mean=[0.4, 0.5, 0.6], image_std=[0.1, 0.2, 0.3]
    )
    processor.save_pretrained(folder)
    return folder


def test_a_local_hf_folder_loads_with_its_contract(hf_folder: Path) -> None:
    from transformers import ViTForImageClassification

    model = load(f"hf:{hf_folder}")
    assert (model.size, model.classes) == ((32, 32), ("cat", "dog", "goldfish"))
    assert model.mean == pytest.approx((0.4, 0.5, 0.6))
    assert model.std == pytest.approx((0.1, 0.2, 0.3))
    theirs = ViTForImageClassification.from_pretrained(hf_folder)
    images = torch.rand(2, 3, 32, 32)
    normalised = (images - torch.tensor([0.4, 0.5, 0.6])[:, None, None]) / torch.tensor([0.1, 0.2, 0.3])[:, None, None]
    with torch.no_grad():
        assert torch.allclose(model(images), theirs(pixel_values=normalised).logits, atol=1e-5)
    assert load(f"hf:{hf_folder}", weights="none").weights_hash != model.weights_hash
    file = load(f"hf:{hf_folder}", weights=hf_folder / "model.safetensors")
    assert file.weights_hash == model.weights_hash


def test_half_precision_hf_weights_are_computed_in_float32(hf_folder: Path, tmp_path: Path) -> None:
    from transformers import ViTForImageClassification

    half = ViTForImageClassification.from_pretrained(hf_folder).half()
    half.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_bytes((hf_folder / "preprocessor_config.json").read_bytes())
    model = load(f"hf:{tmp_path}")
    assert {p.dtype for p in model._module.parameters()} == {torch.float32}
    assert torch.equal(model._module.classifier.weight, half.classifier.weight.float())


def test_wrong_hf_weights_name_every_difference(hf_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    tensors = load_file(hf_folder / "model.safetensors")
    del tensors["classifier.bias"]
    save_file(tensors | {"extra": torch.zeros(1), "classifier.weight": torch.zeros(7, 16)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError) as caught:
        load(f"hf:{hf_folder}", weights=tmp_path / "w.safetensors")
    assert str(caught.value).endswith(
        "1 missing (classifier.bias); 1 unexpected (extra); "
        "1 of another shape (classifier.weight: 7x16 in the file, 3x16 in the network)."
    )


@pytest.mark.parametrize(("processor", "mean", "std"), [
    ({"do_rescale": True, "do_normalize": False}, 0.0, 1.0),
    ({"do_rescale": False, "do_normalize": True, "image_mean": [127.5] * 3, "image_std": [51.0] * 3}, 0.5, 0.2),
    ({"do_rescale": True, "rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False}, 0.5, 0.5),
])  # fmt: skip
def test_every_way_to_rescale_becomes_a_mean_and_std(processor: dict[str, object], mean: float, std: float) -> None:
    from pellucid.models.zoo_hf import _contract

    contract = _contract(processor, None)
    assert contract["mean"] == pytest.approx((mean,) * 3)
    assert contract["std"] == pytest.approx((std,) * 3)


def test_a_folder_without_normalisation_is_not_guessed(hf_folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((hf_folder / name).read_bytes())
    with pytest.raises(ModelError, match=r"image processor \(preprocessor_config\.json\).*: --mean --std"):
        load(f"hf:{tmp_path}")
    model = load(f"hf:{tmp_path}", mean=(0.5,) * 3, std=(0.5,) * 3)
    assert (model.size, model.mean) == ((32, 32), (0.5,) * 3)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"cannot load the configuration from the folder .*model_type"):
        load(f"hf:{tmp_path}")


# ---- downloads


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every download goes to a local port where nobody listens, and nothing is in a cache."""
    import huggingface_hub

    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("urllib.request._opener", None)  # the first download's proxies would be kept for all later ones
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    huggingface_hub.close_session()  # the next one reads the environment anew
    yield
    huggingface_hub.close_session()


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(("spec", "what"), [
    ("torchvision:squeezenet1_1", r"the weights of torchvision:squeezenet1_1 from download\.pytorch\.org"),
    ("timm:resnet18.a1_in1k", "the weights of timm:resnet18.a1_in1k from huggingface.co"),
    ("hf:pellucid-tests/absent", "the configuration of hf:pellucid-tests/absent from huggingface.co"),
])  # fmt: skip
def test_no_network_for_a_download_says_so_and_names_weights(spec: str, what: str) -> None:
    with pytest.raises(WeightsError, match=rf"cannot download {what} \(.*--weights FILE, or --weights none") as caught:
        load(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_network")
def test_offline_mode_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        load("timm:resnet18.a1_in1k")


def test_a_model_without_pretrained_weights_says_so() -> None:
    with pytest.raises(WeightsError, match="timm:vit_small_patch16_36x1_224 has no pretrained weights"):
        load("timm:vit_small_patch16_36x1_224")
