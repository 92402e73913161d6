// The logits over all pairs, in the Fourier basis.

addView({
  id: "logits",
  title: "Spectrum of the logits",
  about: "Norms over all answers of the logits' components over a and b. Bright are 2 × 2 blocks on the diagonal, one a key frequency: functions of a + b and a − b.",
  needs: ["logit_fourier_norm_2d"],
  reads: ["epoch"],
  width: 4,
  shape: "square",
  draw(at) {
    const found = kept(at, "logit_fourier_norm_2d");
    const p = at.experiment.prime;
    const values = at.experiment.row(found.name, ...found.places);
    const norms = Array.from({ length: p }, (_, i) => values.slice(i * p, (i + 1) * p));
    norms[0][0] = 0;
    return { ...spectrumPlot(at, norms, "Norm"), note: `${found.note} The constant is left out.`.trim() };
  },
});
