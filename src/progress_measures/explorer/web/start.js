// Everything together.

layCards(document.getElementById("cards"));
startTime();
startControls();
choose(fromAddress());
