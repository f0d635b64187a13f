"""The model card of an export, in the form of the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ofa_bench.deploy.model_folder.schema import LIBRARY, MODEL, PARITY, ModelFile
from ofa_bench.formatting import count, percent

if TYPE_CHECKING:
    from ofa_bench.deploy.model_folder.schema import MeasuredAccuracy

TEMPLATE = """---
library_name: {{ library }}
pipeline_tag: image-classification
datasets:
- {{ quoted(model.run.dataset) }}
metrics:
- accuracy
tags:
- once-for-all
- {{ quoted(model.run.space) }}
model-index:
- name: {{ quoted(model.name) }}
  results:
{%- for split, value in model.accuracy.items() %}
  - task:
      type: image-classification
    dataset:
      name: {{ quoted(model.run.dataset) }}
      type: {{ quoted(model.run.dataset) }}
      split: {{ split }}
    metrics:
    - type: accuracy
      value: {{ "%.4f" % (value.top1 / 100) }}
{%- endfor %}
---

# {{ text(model.name) }}

A subnet of the once-for-all supernet {{ code(model.run.id) }}, trained by the method
{{ code(model.run.method) }} on {{ code(model.run.dataset) }} in the space
{{ code(model.run.space) }}.

| | |
|---|---|
| classes | {{ model.classes | length }} |
| input | RGB, {{ model.input.resolution }} × {{ model.input.resolution }} |
| multiply-accumulates | {{ count(model.macs) }} |
| parameters | {{ count(model.parameters) }} |
{%- for split, value in model.accuracy.items() %}
| top-1 on {{ split }} | {{ accuracy(value) }} |
{%- endfor %}

```python
import ofa_bench
net = ofa_bench.load("this folder")
logits = net(net.transform(image).unsqueeze(0))
```

`net.classes` names the logits. Files, each proved to compute what the supernet's subnet does
(`{{ parity_file }}`):

{% for name, facts in parity.formats.items() -%}
* `{{ name }}`: {% for file in facts.files %}`{{ file }}`{{ ", " if not loop.last }}{% endfor -%}
{{ "" if facts.exact else " (quantised: it agrees on %d of %d test images)" % (
    facts.predictions.equal, facts.predictions.images) }}
{% endfor %}
The architecture, block by block, and how an image is prepared stand in `{{ model_file }}`.
"""


def card(model: ModelFile, parity: Mapping[str, Any]) -> str:
    """The text of README.md."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(TEMPLATE).render(
        model=model,
        parity=parity,
        library=LIBRARY,
        model_file=MODEL,
        parity_file=PARITY,
        quoted=json.dumps,
        text=_text,
        code=_code,
        count=count,
        accuracy=_accuracy,
    )


def _accuracy(value: MeasuredAccuracy) -> str:
    return (
        f"{percent(value.top1)} % (95 % interval {percent(value.low)} to {percent(value.high)}, "
        f"n = {value.images:,})"
    )


def _text(text: str) -> str:
    """A name in running text: no mark-up of its own."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>#|" else letter for letter in text)


def _code(text: str) -> str:
    from ofa_bench.sanitize import code_span, printable

    return code_span(printable(text))
