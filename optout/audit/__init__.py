"""The audit of datasets: which rows may be used, for which purpose, and why.

`decide` is the audit as a library: a table with URLs goes in, and comes out with columns of answers. Commands and
engines work on files by way of `optout.audit.job` and `optout.audit.shard`.
"""

from __future__ import annotations

from optout.audit.api import Auditor, decide

__all__ = ["Auditor", "decide"]
