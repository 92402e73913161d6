// Printing: all cards, drawn at the width of the paper.

function startPrinting() {
  const redraw = () => {
    themeChanged();
    for (const card of cards) card.draw();
  };
  addEventListener("beforeprint", () => {
    stop();
    document.documentElement.classList.add("on-paper");
    redraw();
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("on-paper");
    redraw();
  });
}
