"""Figures that appear in several sources: the TransformerLens demo, the modular subtraction notebook and the blog post.

Each figure is declared once, with one id per source. A text that differs between sources is a dictionary by source.
"""

from __future__ import annotations

from functools import partial

from progress_measures.analysis.embedding import gaussian_matrix, operand_embedding
from progress_measures.analysis.phases import PHASE_ENDS
from progress_measures.figures.plots import attention, curves, embedding, fourier_basis, neurons
from progress_measures.figures.registry import figure

WORDS = {
    "demo": {"notebook": "demo", "network": "the demo network", "subject": "the demo network", "sum": "a + b"},
    "subtraction": {
        "notebook": "notebook",
        "network": "the subtraction network",
        "subject": "modular subtraction",
        "sum": "a - b",
    },
}
"""Words that differ between the sources, by source and by the field that they fill in a template of `by_source`."""


def by_source(template: str, **inserts: str) -> dict[str, str]:
    """Fill a template for the demo, for the subtraction notebook, and for each further source in `inserts`.

    Args:
        template: text with the field `{insert}` and, for the demo and the notebook, the fields of `WORDS`, such as
            `{network}`.
        inserts: text for the field `{insert}`, by source; by default, an empty string.

    Returns:
        The texts by source.
    """
    sources = dict.fromkeys([*WORDS, *inserts])
    return {source: template.format(insert=inserts.get(source, ""), **WORDS.get(source, {})) for source in sources}


def sections(demo: str, subtraction: str) -> dict[str, str]:
    """Return the references of a figure that the TransformerLens demo and the subtraction notebook both have.

    Args:
        demo: heading in the demo.
        subtraction: number of the section of the notebook.

    Returns:
        The references by source.
    """
    return {
        "demo": f"TransformerLens demo, {demo}",
        "subtraction": f"Modular subtraction notebook, section {subtraction}",
    }


# ---- attention

figure(
    "demo/01_avg_attention",
    "subtraction/02_avg_attention",
    "mod_addition/02_mean_attention",
    plot=attention.mean_attention,
    title={
        **by_source("Average attention of {network}'s heads"),
        "mod_addition": "Average attention by head",
    },
    reference={
        **sections(demo="looking at activations", subtraction="3.1"),
        "mod_addition": "Modular addition blog, looking around",
    },
    variables=("mean_attention",),
    size=(3.6, 2.4),
    caption=by_source(
        """Attention of each head of the first run from `=` to a, b and `=`, averaged over all pairs. All values are
        from the end of training. {insert}""",
        mod_addition="Each of a and b gets about half of the attention, and `=` hardly any.",
    ),
)

figure(
    "demo/02_example_attention",
    "subtraction/03_example_attention",
    plot=partial(attention.attention_at_pair, a=0, b=5),
    title=by_source("Attention of {network}'s heads at {insert}", demo="0 + 5", subtraction="0 - 5"),
    reference=sections(demo="looking at activations", subtraction="3.1"),
    variables=attention.ATTENTION_SCORES,
    size=(3.6, 2.4),
    caption="""Attention of each head of the first run from `=` to a, b and `=` for the pair a = 0, b = 5. All values
    are from the end of training. The pair is an arbitrary example, to be compared with the attention averaged over all
    pairs.""",
)

figure(
    "demo/03_head0_attention",
    "subtraction/04_head0_attention",
    plot=partial(attention.attention_of_head, head=0),
    title=by_source("Attention of {network}'s head 0 to a"),
    reference=sections(demo="looking at activations", subtraction="3.1"),
    variables=attention.ATTENTION_TO_A,
    size=(3.8, 3.2),
    caption=by_source(
        """Attention of head 0 of the first run from `=` to a, over all pairs, at the end of training. {insert} The
        title gives the frequency k that explains the largest fraction of the attention's variance over pairs, and this
        fraction.""",
        subtraction="The attention varies little, but periodically.",
    ),
)

figure(
    "demo/04_heads_attention",
    "subtraction/05_heads_attention",
    plot=partial(attention.attention_of_heads, shared_scale=False),
    title=by_source("Attention of {network}'s heads to a"),
    reference=sections(demo="looking at activations", subtraction="3.1"),
    variables=attention.ATTENTION_TO_A,
    size=(6.8, 3.0),
    caption=by_source(
        """Attention of each head of the first run from `=` to a, over all pairs, at the end of training. Each head has
        a separate color scale. {insert} Each title gives the frequency k that explains the largest fraction of the
        attention's variance over pairs, and this fraction.""",
        subtraction="""Each head attends almost only to one of the two operands. The small variation of this attention
        over pairs is periodic.""",
    ),
)

# ---- embedding

figure(
    "demo/06_svd_WE",
    "subtraction/08_svd_WE",
    plot=partial(embedding.singular_values, matrix=operand_embedding, color="W_E"),
    title=by_source("Singular values of {network}'s embedding"),
    reference=sections(demo="singular value decomposition", subtraction="3.2"),
    variables=("W_E",),
    size=(4.6, 2.6),
    caption="""Singular values of the first run's embedding W_E of the operand values, at the end of training. A few singular
    values are large, two for each key frequency; most others are close to zero. Dashed: a tenth of the largest.""",
)

figure(
    "demo/07_svd_U",
    "subtraction/09_svd_WE_U",
    plot=partial(embedding.left_vectors, matrix=operand_embedding),
    title=by_source("Left singular vectors of {network}'s embedding"),
    reference=sections(demo="singular value decomposition", subtraction="3.2"),
    variables=("W_E",),
    size=(6.8, 3.4),
    caption="""Left singular vectors of the embedding W_E of the operand values, one per column, by descending singular value.
    Left: all vectors. Right: the first 16. All values are from the first run at the end of training. Vectors with large
    singular values are sinusoids over the operand values, or sums of a few sinusoids; most others look like noise.""",
)

figure(
    "demo/08_svd_random",
    "subtraction/06_svd_random",
    plot=partial(embedding.singular_values, matrix=gaussian_matrix, color="weights"),
    title=by_source("Singular values of a Gaussian matrix{insert}", demo=", a control for the demo network"),
    reference=sections(demo="singular value decomposition", subtraction="3.2"),
    variables=("W_E",),
    size=(4.6, 2.6),
    caption="""Singular values of a matrix of independent standard normal entries, with the shape of the embedding of
    the operand values. The singular values fall almost linearly, and none stands out. Dashed: a tenth of the largest.""",
)

figure(
    "demo/09_svd_random_U",
    "subtraction/07_svd_random_U",
    plot=partial(embedding.left_vectors, matrix=gaussian_matrix),
    title=by_source("Left singular vectors of a Gaussian matrix{insert}", demo=", a control for the demo network"),
    reference=sections(demo="singular value decomposition", subtraction="3.2"),
    variables=("W_E",),
    size=(6.8, 3.4),
    caption="""Left singular vectors of a matrix of independent standard normal entries, one per column, by descending
    singular value. The matrix has the shape of the embedding of the operand values. Left: all vectors. Right: the first 16.
    The vectors show no structure.""",
)

figure(
    "demo/10_pcs",
    "subtraction/10_pcs",
    plot=embedding.singular_vector_curves,
    title=by_source("First principal components of {network}'s embedding"),
    reference=sections(demo="analyze the embedding", subtraction="3.2"),
    variables=("W_E", "key_frequency"),
    size=(6.8, 5.0),
    caption="""The first eight left singular vectors of the embedding W_E of the operand values. All values are from the first
    run at the end of training. Each vector is a sinusoid over the operand values, or a sum of a few sinusoids. Each title gives
    the number of the vector, the frequency k that holds the largest fraction of its squared norm, and this fraction. Colors
    mark key frequencies.""",
)

figure(
    "demo/11_fourier_basis",
    "subtraction/11_fourier_basis",
    plot=fourier_basis.basis_vectors,
    title=by_source("The {insert}Fourier basis", demo="demo's "),
    reference=sections(demo="analyze the embedding", subtraction="3.3"),
    variables=("key_frequency",),
    size=(4.6, 3.6),
    caption=by_source(
        """All vectors of the orthonormal Fourier basis over the operand values, one per row. The first row is the constant;
        cosine and sine of each frequency from 1 on follow. {insert}""",
        demo="The demo has the sine before the cosine.",
    ),
)

figure(
    "demo/14_fourier_gram",
    "subtraction/15_fourier_gram",
    plot=fourier_basis.basis_products,
    title=by_source("Dot products of the {insert}Fourier basis", demo="demo's "),
    reference=sections(demo="analyze the embedding", subtraction="3.3"),
    variables=("key_frequency",),
    size=(4.6, 3.8),
    caption="Dot product of every two vectors of the Fourier basis: 1 on the diagonal and 0 elsewhere.",
)

figure(
    "demo/15_WE_fourier",
    "subtraction/16_WE_fourier",
    plot=embedding.in_fourier_basis,
    title=by_source("The {insert} network's embedding in the Fourier basis", demo="demo", subtraction="subtraction"),
    reference=sections(demo="analyze the embedding", subtraction="3.4"),
    variables=("W_E", "key_frequency"),
    size=(5.2, 3.8),
    caption="""The embedding W_E in the Fourier basis over the operand values. Rows are Fourier components, columns are
    dimensions of the residual stream. All values are from the first run at the end of training. Only the rows of the
    key frequencies, labeled on the right, are visibly different from zero.""",
)

figure(
    "demo/16_WE_norm",
    "subtraction/17_WE_fourier_norm",
    plot=partial(fourier_basis.component_norms, name="W_E_fourier_norm", text="Norm of $W_E$'s component"),
    title=by_source("Fourier norms of {network}'s embedding"),
    reference=sections(demo="analyze the embedding", subtraction="3.4"),
    variables=("W_E_fourier_norm", "key_frequency"),
    size=(4.6, 2.6),
    caption="""Norm of each Fourier component of the first run's embedding W_E at the end of training. The norm is over the
    residual stream. The constant component is not drawn. Key frequencies are colored and numbered.""",
)

figure(
    "demo/17_key_gram",
    "subtraction/18_key_gram",
    plot=embedding.key_component_products,
    title=by_source("Dot products of {network}'s embedding at the key frequencies"),
    reference=sections(demo="analyze the embedding", subtraction="3.4"),
    variables=("W_E", "key_frequency"),
    size=(4.6, 3.8),
    caption="""Dot products of the Fourier components of the first run's embedding W_E at its key frequencies. Each
    component is a vector in the residual stream. All values are from the end of training. The matrix is nearly
    diagonal: the components are nearly orthogonal and do not interfere.""",
)

figure(
    "demo/18_key_cos",
    "subtraction/19_key_cos",
    plot=partial(fourier_basis.key_waves, wave="cos"),
    title=by_source("Cosines of {network}'s key frequencies"),
    reference=sections(demo="key frequencies", subtraction="3.5"),
    variables=("key_frequency",),
    size=(6.8, 3.4),
    caption="""The cosine of each key frequency of the first run, as a unit vector over the operand values. Points:
    entries of the vector, one per operand value. Line: the same function between them.""",
)

# ---- neurons and logits

figure(
    "demo/27_neuron_freq",
    "subtraction/21_neuron_freq",
    plot=neurons.fractions_explained,
    title=by_source("Fraction of each neuron's variance in each frequency, {subject}"),
    reference=sections(demo="neuron clusters", subtraction="3.5.1"),
    variables=("neuron_frequency_share", "key_frequency"),
    size=(6.8, 3.0),
    caption="""Fraction of each neuron's variance over all pairs (columns) in each frequency (rows), for the first run. All
    values are from the end of training. The best frequency of every neuron is one of the key frequencies, which are labeled
    on the right.""",
)

figure(
    "demo/28_neuron_freq_max",
    "subtraction/22_neuron_freq_max",
    plot=neurons.best_fractions_explained,
    title=by_source("Fraction of each neuron's variance in its best frequency, {subject}"),
    reference=sections(demo="neuron clusters", subtraction="3.5.1"),
    variables=("neuron_frequency_share",),
    size=(4.6, 2.6),
    caption="""Fraction of each neuron's variance over all pairs that its best frequency explains, in ascending order. All
    values are from the first run at the end of training. For most neurons the fraction is close to 1. Neurons at 85 % (dashed)
    or more are in the cluster of their frequency.""",
)

figure(
    "demo/29_Wlogit",
    "subtraction/23_Wlogit_fourier",
    plot=partial(fourier_basis.component_norms, name="W_L_fourier_norm", text="Norm of $W_L$'s component"),
    title=by_source("Fourier norms of {network}'s neuron-logit map"),
    reference=sections(demo="read off the neuron-logit weights", subtraction="3.6"),
    variables=("W_L_fourier_norm", "key_frequency"),
    size=(4.6, 2.6),
    caption="""Norm of each Fourier component of the first run's neuron-logit map W_L at the end of training. W_L = W_out W_U,
    and the norm is over neurons. The constant component is not drawn. Key frequencies are colored and numbered.""",
)

# ---- training

figure(
    "demo/33_training_curve",
    "subtraction/24_training_curve_phases",
    plot=curves.losses_with_phases,
    title=by_source("Training curve of {subject}, with its phases"),
    reference=sections(demo="loss curves", subtraction="4.2.1"),
    variables=curves.HISTORY_LOSSES_AND_PHASE_ENDS,
    size=(5.2, 3.2),
    caption=by_source(
        """Train and test loss of the first run, with the phases that a rule finds. The {notebook} sets the ends of the
        phases of its own network by hand, at epochs 1,500, {insert}.""",
        demo="13,300 and 16,600",
        subtraction="22,500 and 24,000",
    ),
)

figure(
    "demo/36_cos_sim_residual",
    "subtraction/25_cos_sim",
    plot=partial(
        curves.curves_by_frequency,
        name="cosine_similarity",
        text="Cosine similarity",
        residual="cosine_residual_all",
        top=1.04,
    ),
    title={
        "demo": "Cosine similarity of the demo network's logits, and the residual",
        "subtraction": "Cosine similarity of the logits with cos w(a - b - c)",
    },
    reference=sections(demo="logit periodicity", subtraction="4.2.2"),
    variables=("cosine_similarity", "cosine_residual_all", "key_frequency", *PHASE_ENDS),
    size=(6.8, 3.4),
    caption=by_source(
        """Cosine similarity of the first run's logits with cos w({sum} - c) for each frequency k, with w = 2πk/p. c is
        the output. The similarity is the scalar product of the logits and the cosine over all (a, b, c), divided by the
        norms of both. Key frequencies are in color, all other frequencies are gray. Dashed: the norm of the residual,
        divided by the norm of the logits. The residual is the logits minus their parts along the cosines of all
        frequencies. {insert}""",
        demo="The residual falls as the similarities of key frequencies rise.",
        subtraction="The similarities of two key frequencies rise long before the network generalizes.",
    ),
)

figure(
    "demo/38_restricted",
    "subtraction/26_restricted",
    plot=partial(curves.losses_of_projected_neurons, names=("restricted",)),
    title=by_source("Restricted loss of {subject}"),
    reference=sections(demo="restricted loss", subtraction="4.3"),
    variables=("restricted_loss_neurons", *curves.CHECKPOINT_LOSSES_AND_PHASE_ENDS),
    size=(5.2, 3.2),
    caption=by_source(
        """Train, test and restricted loss of the first run. As in the {notebook}, the restricted loss is the
        test loss if the logits are replaced by their mean over pairs plus P W_L. P is the projection of the neurons, as
        functions of the pair, onto cos and sin of w({sum}) for the key frequencies k; w = 2πk/p and W_L = W_out W_U.
        The restricted loss falls while the test loss is on its plateau{insert}.""",
        subtraction=", and ends above the test loss",
    ),
)

figure(
    "demo/40_excluded",
    "subtraction/28_excluded",
    plot=partial(curves.losses_of_projected_neurons, names=("excluded", "restricted")),
    title=by_source("Excluded and restricted loss of {subject}"),
    reference=sections(demo="excluded loss", subtraction="4.4"),
    variables=("excluded_loss_neurons", "restricted_loss_neurons", *curves.CHECKPOINT_LOSSES_AND_PHASE_ENDS),
    size=(5.2, 3.2),
    caption=by_source(
        """Train, test, restricted and excluded loss of the first run. As in the {notebook}, restricted and excluded
        loss are defined by P W_L, the contribution of the key frequencies to the logits. P is the projection of the
        neurons, as functions of the pair, onto cos and sin of w({sum}) for the key frequencies k; w = 2πk/p and
        W_L = W_out W_U. The excluded loss is the train loss if P W_L is subtracted from the logits. The restricted loss
        is the test loss if the logits are replaced by their mean over pairs plus P W_L. The excluded loss rises
        {insert}.""",
        demo="while the test loss is on its plateau",
        subtraction="from the end of memorization on: the network starts to depend on its key frequencies",
    ),
)
