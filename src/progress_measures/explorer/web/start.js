// Start the page.

layOutCards(() => document.getElementById("cards"));
startTimeBar();
startControls();
startStory();
startPrinting();
choose(choiceInAddress());
