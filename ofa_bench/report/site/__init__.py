"""Records as a folder of static pages: boards, records, methods, and how to submit."""

from __future__ import annotations

from ofa_bench.report.site.build import ResultsFolder as ResultsFolder
from ofa_bench.report.site.build import SiteOptions as SiteOptions
from ofa_bench.report.site.build import SiteSummary as SiteSummary
from ofa_bench.report.site.build import write_site as write_site
from ofa_bench.report.site.folder import holds_other_files as holds_other_files
