"""Hashes of the shipped network's code in the versions that wrote records without `identity`.

Such a record does not say which network code its row id was hashed from; these are all there were.
Each is `package_hash("ofa_bench.nets")` under Python 3.11 at a commit of this repository, as told
by `git log -- ofa_bench/nets`.
"""

from __future__ import annotations

NETWORKS = {
    "276b3b2f83cf497b051f5eb3296d13592bcbc60787d9445dd86e145e533b4975": "fc33320d",
    "7a1480f588d67dcd780345c102f2ccd8e7c32f39ecaea861bac1d7046f5a7790": "036d08a5",
    "bcf9fdc8623e654855f49167154119294f23e91a60aa813d7264d48aecd4ff7b": "7f217b99",
}
NUMERICS = "1"  # the engine's arithmetic in all of those versions
