// The logits over all pairs in the Fourier basis.

addView({
  id: "logits",
  title: "Spectrum of the logits",
  about: "Fourier components of the logits over a and b: norms over all answers. The 2 × 2 blocks on the diagonal, one per key frequency, are functions of a + b and a − b.",
  needs: ["logit_fourier_norm_2d"],
  reads: ["epoch"],
  width: 4,
  shape: "square",
  draw(at) {
    const stored = kept(at, "logit_fourier_norm_2d");
    const p = at.experiment.prime;
    const values = at.experiment.row(stored.name, ...stored.places);
    const norms = Array.from({ length: p }, (_, i) => values.slice(i * p, (i + 1) * p));
    norms[0][0] = 0;
    return { ...spectrumPlot(at, norms, "Norm"), note: `${stored.note} The constant component is omitted.`.trim() };
  },
});
