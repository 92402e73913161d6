"""Claims: statements of the sources, compared with measured values.

A claim is an entry of `config/claims/<source>.yaml`. Most claims name a quantity: a registered function that computes
values from cubes. Conditions on these values are the claim's rule. The rule is applied to the networks that the claim
is about, and to controls: networks without the algorithm that the sources describe, such as untrained ones. The
function `judge.judge` derives the verdict from the networks in which the rule holds. A claim without a quantity has no
rule that could be judged.
"""

from progress_measures.claims.schema import Claim, load_claims

__all__ = ["Claim", "load_claims"]
