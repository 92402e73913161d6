// The logits over all pairs in the Fourier basis.

addView({
  id: "logits",
  title: "Spectrum of the logits",
  about: "Norm over all outputs c of each 2D Fourier component of the logits over a and b. On the diagonal, each key frequency has 2 × 2 cells: products of cos or sin of w_k a with cos or sin of w_k b, which combine to functions of a + b and a − b.",
  requires: ["logit_fourier_norm_2d"],
  reads: ["epoch"],
  width: 4,
  shape: "square",
  draw(current) {
    const stored = nearestStored(current, "logit_fourier_norm_2d");
    const p = current.experiment.basis_size;
    const values = current.experiment.row(stored.name, ...stored.indices);
    const norms = Array.from({ length: p }, (_, i) => values.slice(i * p, (i + 1) * p));
    norms[0][0] = 0;
    return { ...spectrumPlot(current, norms, "Norm"), lastOnly: stored.lastOnly, note: `${stored.note} The constant component is omitted.`.trim() };
  },
});
