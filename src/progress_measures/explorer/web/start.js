// Start the page.

layOutCards(document.getElementById("cards"));
startTime();
startControls();
choose(fromAddress());
