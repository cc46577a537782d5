"""`reinit_layers`: exactly the last layers are reinitialised, in every family; invalid values are refused."""

import zlib
from pathlib import Path

import pytest
import torch
import transformers
from conftest import DIMENSIONS, FAMILIES, changed, make_encoder
from safetensors.torch import load_file
from test_model import SPECS

from mtdnn_kit import ConfigError, prepare, train
from mtdnn_kit.errors import EncoderError
from mtdnn_kit.model.layers import check_layers, reinit
from mtdnn_kit.model.multitask import build_model

PLACES = {"distilbert": "transformer.layer", "modernbert": "layers"}  # prefix of the layers' weights; encoder.layer elsewhere


@pytest.fixture(params=[name for name in FAMILIES if name != "albert"])
def family(request) -> str:
    return request.param


def weights(path: str, count: int, seed: int = 0, rates: tuple[float, float] = (0.1, 0.3)) -> dict[str, torch.Tensor]:
    return build_model(Path(path), SPECS, *rates, 64, seed, count).tensors()


def differing(one: dict, two: dict) -> set[str]:
    assert one.keys() == two.keys()
    return {name for name in one if not torch.equal(one[name], two[name])}


def layer(family: str, number: int) -> str:
    return f"encoder.{PLACES.get(family, 'encoder.layer')}.{number}."


def test_only_the_last_layers_change(family, families):
    """Embeddings, pooler, norms around the layers, lower layers and heads stay equal bit for bit; the reinitialised matrices change."""
    plain, one, two = (weights(families[family], count) for count in (0, 1, 2))
    products = {name for name, x in plain.items() if x.ndim == 2}
    for found, numbers in ((one, (1,)), (two, (0, 1))):
        inside = {name for name in plain if name.startswith(tuple(layer(family, n) for n in numbers))}
        assert differing(plain, found) <= inside and inside & products <= differing(plain, found)
    assert not {name for name in differing(one, two) if name.startswith(layer(family, 1))}, "the last layer does not depend on the count"


def test_they_are_initialised_like_a_new_model_of_transformers(family, families):
    path, found = families[family], weights(families[family], 2, seed=7)
    with torch.random.fork_rng():
        torch.manual_seed(zlib.crc32(b"7 layers"))
        new = transformers.AutoModel.from_config(transformers.AutoConfig.from_pretrained(path))
    drawn = {name: x for name, x in found.items() if name.startswith((layer(family, 0), layer(family, 1)))}
    assert len(drawn) > 10 and all(torch.equal(x, new.state_dict()[name.removeprefix("encoder.")]) for name, x in drawn.items())


def test_they_depend_on_the_seed_and_the_random_state_is_unchanged(tiny):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, again, other = (weights(tiny, 1, seed) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    inside = {name for name in differing(one, other) if name.startswith("encoder.")}
    assert not differing(one, again) and inside and all(name.startswith(layer("bert", 1)) for name in inside)


def test_the_last_layers_of_a_runs_encoder_are_reinitialised(config, tmp_path):
    first = train(config(tasks=["squad"], qa_weight=1.0, max_steps=2))
    trained, found = load_file(first.path / "model/model.safetensors"), weights(str(first.path / "model"), 1)
    moved = differing(trained, {name: found[name] for name in trained})
    assert len(moved) == 16 and all(name.startswith(layer("bert", 1)) for name in moved), "weights, and biases and norms that had changed"


def test_16_reinit_layers_changes_the_losses_of_a_run(config):
    losses = {}
    for count in (0, 1, 2):
        made = config(tasks=["squad", "cola"], qa_weight=0.5, max_steps=3, reinit_layers=count)
        losses[count] = [record["loss"] for record in train(changed(made, run_dir=f"{made.run_dir}-{count}")).log()]
    assert losses[0] != losses[1] != losses[2] and losses[0] != losses[2]


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("bert", 3, r"^reinit_layers: 3 is more than the 2 layers of encoder 'tiny\d*' \(bert\); set it to at most 2$"),
        ("albert", 1, r"^reinit_layers: the layers of encoder 'albert\d*' \(albert\) share their weights, so none can be reinitialised"),
    ],
)
def test_layers_that_cannot_be_reinitialised_are_refused_before_data_are_read(name, count, message, families, config):
    with pytest.raises(EncoderError, match=message):
        prepare(config(encoder=families[name], reinit_layers=count))
    check_layers(transformers.AutoConfig.from_pretrained(families[name]), name, 0)


def test_an_encoder_without_a_list_of_layers_is_refused(tmp_path, tokenizer):
    shape = transformers.BertConfig(vocab_size=len(tokenizer), **DIMENSIONS)
    path = make_encoder(tmp_path, shape, tokenizer)
    model = build_model(Path(path), SPECS, 0.1, 0.3, 64, 0)
    model.encoder.config.num_hidden_layers = 5
    del model.encoder.encoder.layer[0]
    with pytest.raises(EncoderError, match="^reinit_layers: an encoder of family bert has no list of 5 layers; set it to 0"):
        reinit(model.encoder, 1, "0 layers")


@pytest.mark.parametrize("value", [-1, 1.5, "all"])
def test_reinit_layers_must_be_a_whole_number(value, config):
    with pytest.raises(ConfigError, match="^reinit_layers"):
        config(reinit_layers=value)
