"""The ledger of claims: statements of the sources, compared with measured values.

A claim is an entry of `config/claims/<source>.yaml`. It names a quantity, which is a registered function of a cube, and
the conditions that the values of this quantity must fulfill.
"""

from progress_measures.claims.ledger import Claim, load_claims

__all__ = ["Claim", "load_claims"]
