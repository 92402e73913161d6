"""Claims: statements of the sources, compared with measured values.

A claim is an entry of `config/claims/<source>.yaml`. It names a quantity and conditions. The quantity is a registered
function that computes values from cubes. The conditions on these values are the claim's rule. The rule is applied to
networks and controls, and `judge` derives the verdict from those in which it holds.
"""

from progress_measures.claims.schema import Claim, load_claims

__all__ = ["Claim", "load_claims"]
