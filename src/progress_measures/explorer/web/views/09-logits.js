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
    const values = current.experiment.row(stored.name, ...stored.indices);
    const components = Math.sqrt(values.length); // one more than operand values if their number is even
    const rows = Array.from({ length: components }, (_, i) => ofComponents(current, values.slice(i * components, (i + 1) * components)));
    const norms = ofComponents(current, rows);
    norms[0][0] = 0;
    return { ...spectrumPlot(current, norms, "Norm"), lastOnly: stored.lastOnly, note: `${stored.note} The constant component is omitted.`.trim() };
  },
});
