"""What zero-cost proxies say of the subnets of a space: a ranking per proxy, at no training."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence

from torch import nn

from ofa_bench.data.sources.batch import Address, MicroBatch
from ofa_bench.data.sources.source import BatchSource
from ofa_bench.errors import BenchError, PluginError, UsageError
from ofa_bench.evaluation.exact_math import shielded, undisturbed
from ofa_bench.evaluation.proxies import Proxy
from ofa_bench.hooks.catalogue import Catalogue, Entry, discover
from ofa_bench.nets.blocks import Shortcuts
from ofa_bench.nets.extract import extract
from ofa_bench.nets.init import Init, initialize
from ofa_bench.nets.mbconv import MBConvNet
from ofa_bench.seeding import key
from ofa_bench.space import Space, Subnet

BATCH = 64  # images of a batch, as in Abdelfattah et al. (ICLR 2021)
Scores = dict[str, dict[Subnet, float]]


def proxy_scores(
    space: Space,
    subnets: Sequence[Subnet],
    names: Sequence[str],
    data: BatchSource,
    seed: int,
    *,
    init: Init = "torch",
    shortcuts: Shortcuts = "identity",
    catalogue: Catalogue | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> Scores:
    """The score of each subnet by each of the named proxies; higher is better.

    A subnet is scored as a plain network of its own with fresh weights, drawn by `init` and
    addressed by (seed, subnet): all proxies see the same ones. `data` gives the first training
    images of epoch 0, in batches of 64, on its device; proxies that need none read none.
    `shortcuts` are the run's; a norm's γ is 1 everywhere (a recipe's `zero_gamma` would leave the
    gradients of residual branches 0). `tell(done, total)` is called after each subnet.

    Nothing of torch's settings or random state is changed. Raises UnknownName, UsageError where
    the network is a plugin's or there are too few images, PluginError where a proxy fails or
    answers what is not a finite number.
    """
    known = catalogue if catalogue is not None else discover().catalogue
    entries = {name: known.get("proxy", name) for name in names}
    proxies: dict[str, Proxy] = {name: entry.load()() for name, entry in entries.items()}
    scores: Scores = {name: {} for name in names}
    with shielded():
        net = _network(known, space, data.classes, shortcuts)
        images = _images(data, max((proxy.batches for proxy in proxies.values()), default=0))
        with undisturbed(net):
            for done, subnet in enumerate(dict.fromkeys(subnets), start=1):
                plain = untrained(net, subnet, init, seed)
                if images:
                    plain = plain.to(images[0].images.device)
                for name, proxy in proxies.items():
                    scores[name][subnet] = _scored(entries[name], proxy, plain, subnet, images)
                if tell is not None:
                    tell(done, len(subnets))
    return scores


def _network(known: Catalogue, space: Space, classes: int, shortcuts: Shortcuts) -> MBConvNet:
    """The supernet whose subnets are taken out; its weights are used by nothing."""
    family = space.table.family
    net = known.get("supernet", family).load()(space, classes, seed=0, shortcuts=shortcuts)
    if not isinstance(net, MBConvNet):
        raise UsageError(
            f"subnets of the family {family!r} cannot be taken out here",
            "only networks of the shipped family can be scored by proxies",
        )
    return net


def untrained(net: MBConvNet, subnet: Subnet, init: Init, seed: int) -> nn.Sequential:
    """A subnet as a plain network with fresh weights, addressed by seed and subnet."""
    plain = extract(net, subnet)
    initialize(plain, init, key("proxy", seed, json.dumps(subnet.to_json())))
    return plain


def _images(data: BatchSource, count: int) -> list[MicroBatch]:
    """The first `count` batches of training images, all of one size."""
    if not count:
        return []
    size = min(BATCH, data.sizes["train"] // count)
    if size < 2:
        raise UsageError(
            f"{data.sizes['train']} training images are too few for {count} batches",
            "a proxy needs at least two images in each",
        )
    addresses = [Address(0, number * size, (number + 1) * size) for number in range(count)]
    return list(data.batches(addresses))


def _scored(
    entry: Entry, proxy: Proxy, net: nn.Module, subnet: Subnet, images: Sequence[MicroBatch]
) -> float:
    size = subnet.resolution
    batches = [batch.at(size) for batch in images[: proxy.batches]]
    name = f"proxy {entry.name!r} of {entry.origin}"
    try:
        score = proxy.score(copy.deepcopy(net), (3, size, size), batches)
    except BenchError:
        raise
    except Exception as error:
        reason = f"{name} failed on {subnet}: {type(error).__name__}: {error}"
        raise PluginError(reason, "mend the plugin, or leave the proxy out") from error
    if not isinstance(score, float) or not math.isfinite(score):
        raise PluginError(f"{name} answers {score!r} for {subnet}", "a finite float is wanted")
    return score
