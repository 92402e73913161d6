"""The ledger: what the sources state, held against what was measured.

A claim is an entry of `config/claims/<source>.yaml`. It names a quantity, a registered function of a cube, and says
what must hold of the numbers that this gives.
"""

from progress_measures.claims.ledger import Claim, load_claims

__all__ = ["Claim", "load_claims"]
