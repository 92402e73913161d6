// Start the page.

layOutCards(document.getElementById("cards"));
startTimeBar();
startControls();
choose(fromAddress());
