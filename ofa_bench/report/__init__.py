"""Records as one page that needs no network: what was compared, what came out, what it cost."""

from __future__ import annotations

from ofa_bench.report.page import Sources as Sources
from ofa_bench.report.page import page as page
