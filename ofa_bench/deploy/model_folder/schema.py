"""What `model.json` of an exported folder says; a stranger's file is validated by it.

Torch-free. No field is a path or a name of code.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from ofa_bench.errors import UsageError
from ofa_bench.limits import advice, limit
from ofa_bench.records.json_text import first_fault, parsed
from ofa_bench.records.parts import Count, Hash, Macs, Part, Percent, Positive
from ofa_bench.records.store import read_bytes
from ofa_bench.sanitize import plain_text, printable

MODEL, PARITY, CARD = "model.json", "parity.json", "README.md"
FOLDED, UNFOLDED = "folded.safetensors", "unfolded.safetensors"
LIBRARY = "ofa-bench"
BOUND = "model-file-bytes"

Act = Literal["relu", "relu6", "h_swish"]
Width = Annotated[int, Field(ge=1, le=2**16)]
Stride = Annotated[int, Field(ge=1, le=16)]


def _printable(text: str) -> str:
    if printable(text) != text:
        raise ValueError("a text holds what cannot be shown")
    return text


Text = Annotated[str, Field(max_length=400), AfterValidator(_printable)]
Channel = Annotated[float, Field(ge=-1e4, le=1e4)]


class StemLayers(Part):
    """A 3×3 convolution of the image, batch norm, activation."""

    outputs: Width
    stride: Stride
    act: Act


class FirstLayers(Part):
    """A depthwise 3×3 convolution, then 1×1; `shortcut`: around both."""

    outputs: Width
    stride: Stride
    act: Act
    shortcut: bool


class BlockLayers(Part):
    """Expand 1×1 to `middle` channels, depthwise `kernel`, gate of `squeeze` channels (0: none),
    project 1×1 to `outputs`."""

    name: str = Field(pattern=r"^stage[0-9]{1,4}_block[0-9]{1,4}$")
    middle: Width
    outputs: Width
    kernel: int = Field(ge=1, le=31)
    stride: Stride
    act: Act
    squeeze: int = Field(ge=0, le=2**16)
    shortcut: bool


class HeadLayers(Part):
    """`final`: 1×1 convolution with batch norm before the pool; `mix`: one without after it, or
    0; then the classifier."""

    final: Width
    mix: int = Field(ge=0, le=2**16)
    act: Act


class BlockTable(Part):
    """A network, block by block; all that is needed to build it."""

    norm_eps: float = Field(gt=0, le=1)
    stem: StemLayers
    first: FirstLayers
    blocks: tuple[BlockLayers, ...] = Field(max_length=1000)
    head: HeadLayers

    @model_validator(mode="after")
    def _sound(self) -> BlockTable:
        names = [block.name for block in self.blocks]
        if len(set(names)) != len(names):
            raise ValueError("two blocks have one name")
        if any(block.kernel % 2 == 0 for block in self.blocks):
            raise ValueError("a kernel is even")
        return self

    def inputs(self) -> Iterator[tuple[BlockLayers, int]]:
        """Each block and the channels that it gets."""
        channels = self.first.outputs
        for block in self.blocks:
            yield block, channels
            channels = block.outputs

    def parameters(self, classes: int) -> int:
        """Weights of convolutions and classifier, those of norms included."""
        stem, head, last = self.stem.outputs, self.head, self.first.outputs
        total = 27 * stem + 2 * stem + stem * (9 + last) + 2 * (stem + last)
        for block, inputs in self.inputs():
            middle, last = block.middle, block.outputs
            total += middle * (inputs + block.kernel**2 + last) + 4 * middle + 2 * last
            total += (2 * middle + 1) * block.squeeze + middle * bool(block.squeeze)
        total += last * head.final + 2 * head.final + head.final * head.mix
        return total + ((head.mix or head.final) + 1) * classes


class InputImages(Part):
    """How an image becomes the network's input, as evaluation does it.

    The short side is resized to `resize` (bilinear, antialiased; rounded to whole values from
    `arithmetic`), the centre cut to `resolution`, values divided by 255 and normalised by channel.
    """

    resolution: Positive
    resize: Positive
    interpolation: Literal["bilinear"] = "bilinear"
    arithmetic: Literal["float", "uint8"]
    colour: Literal["RGB"] = "RGB"
    mean: tuple[Channel, Channel, Channel]
    std: tuple[Channel, Channel, Channel]

    @model_validator(mode="after")
    def _sound(self) -> InputImages:
        if min(self.std) <= 0:
            raise ValueError("a standard deviation is not positive")
        if self.resize < self.resolution or self.resize > 2**12:
            raise ValueError("resize is smaller than the resolution, or over 4,096")
        return self


class MeasuredAccuracy(Part):
    """Top-1 accuracy in percent on n images, with a 95 % interval (Wilson)."""

    top1: Percent
    images: Count
    low: Percent
    high: Percent


class TrainedRun(Part):
    """The run that the weights are of; hashes are None where the record does not have them."""

    id: Text
    method: Text
    dataset: Text
    space: Text
    space_fingerprint: Text
    record_sha256: Hash | None
    weights_sha256: Hash | None


class ModelFile(Part):
    """One exported subnet: what it is, what it was measured to be, and where it comes from."""

    library: Literal["ofa-bench"] = "ofa-bench"
    version: Literal[1] = 1
    name: Text
    classes: tuple[Text, ...] = Field(min_length=1, max_length=10**6)
    input: InputImages
    architecture: BlockTable
    subnet: dict[str, Any] = Field(max_length=8)
    macs: Macs
    parameters: Count
    accuracy: dict[Literal["select", "test"], MeasuredAccuracy]
    calibration: Text
    run: TrainedRun
    formats: tuple[Text, ...] = Field(max_length=64)
    versions: dict[Text, Text] = Field(max_length=64)


def read_model(folder: Path) -> ModelFile:
    """The model file of an exported folder. Raises UsageError naming what is wrong with it."""
    path = folder / MODEL
    source = plain_text(path)
    try:
        model = parsed(ModelFile, read_bytes(path, BOUND))
    except ValidationError as error:
        hint = "the file is not of an export of this version, or was changed"
        raise UsageError(f"{source}: {first_fault(error, 'the model')}", hint) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{source}: is not JSON: {plain_text(str(error))}", "the file was changed or cut off"
        ) from error
    size = model.architecture.parameters(len(model.classes))
    if size > limit("network-parameters"):
        raise UsageError(f"{source}: {size:,} parameters", advice("network-parameters", size))
    return model
