// Start a page of text that contains views. An element with the attribute `data-view` receives the view with this id, in place of the
// picture that it has for readers without scripts. A click on an element with the attribute `data-choice`, such as
// "epoch=4300&neuron=457", changes the choices.

for (const place of document.querySelectorAll("[data-view]")) place.replaceChildren();
layOutCards(({ id }) => document.querySelector(`[data-view="${id}"]`));
startTimeBar();
startPrinting();
new MutationObserver(themeChanged).observe(document.body, { attributeFilter: ["data-md-color-scheme"] }); // mkdocs-material's switch
for (const button of document.querySelectorAll("[data-choice]"))
  button.addEventListener("click", (event) => {
    event.preventDefault();
    stop();
    choose(readChoice(button.dataset.choice));
  });
await choose({}); // opens the experiment, whose last epoch is chosen next
choose({ epoch: epochs.at(-1) });
