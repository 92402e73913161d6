"""Write the pictures of the explorer in docs/images/: explorer.webp, which replays a training, and pictures of single views.

There is one picture for each view of docs/algorithm.md, where the documentation's site has the live view. All show the first run
of the mainline. Run `.venv/bin/python docs/explorer_pictures.py`. It needs the published cube and Chromium; `$CHROMIUM` may
give its path.
"""

import io
import os
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import sync_playwright

from progress_measures import open_cube
from progress_measures.explorer.page import write_page

DOCS = Path(__file__).parent
ANIMATION = DOCS / "images/explorer.webp"
EPOCHS_IN_ANIMATION = [*range(0, 8000, 400), *range(8000, 14_001, 2000)]  # multiples of 100, as the checkpoints
WINDOW_OF_ANIMATION = {"width": 1000, "height": 860}
ANIMATION_SIZE = (800, 688)  # pixels
VIEWS_IN_ANIMATION = ("losses", "norms-W_E", "embedding", "interference")
STYLE_OF_ANIMATION = f"""
header, footer, .about, .foot, .note, .speed, .range {{ display: none !important; }}
.card:not({", ".join(f"#{view}" for view in VIEWS_IN_ANIMATION)}) {{ display: none; }}
body {{ padding: 0 10px; }}
main {{ margin-top: 10px; gap: 8px; }}
main .card {{ grid-column: span 6 !important; padding-block: 8px; }}
.plot, .plot.tall {{ height: 285px; }}
.card .numbers {{ min-height: 56px; align-content: start; }}
.time {{ margin-top: 8px; }}
"""
WINDOW_OF_VIEWS = {"width": 760, "height": 1000}
STYLE_OF_VIEWS = """
header, footer, .about, .foot, .tools, #time { display: none !important; }
main .card { grid-column: span 12 !important; border: 0 !important; }
"""


def frames(page):
    """Yield a picture of the page at each of `EPOCHS_IN_ANIMATION`."""
    # a change of epoch redraws the plots, which then fit the cards that STYLE_OF_ANIMATION has resized
    page.evaluate("() => { location.hash = location.hash.replace('epoch=0', 'epoch=100'); }")
    page.wait_for_selector('#losses[data-shown*="epoch=100&"]')
    for epoch in EPOCHS_IN_ANIMATION:
        page.evaluate("(epoch) => { location.hash = location.hash.replace(/epoch=\\d+/, `epoch=${epoch}`); }", epoch)
        for view in VIEWS_IN_ANIMATION:
            page.wait_for_selector(f'#{view}[data-shown*="epoch={epoch}&"]')
        yield (
            Image.open(io.BytesIO(page.screenshot())).convert("RGB").resize(ANIMATION_SIZE, Image.Resampling.LANCZOS)
        )


def write_animation(page):
    """Write the animation that replays the training, and print its path and size."""
    page.set_viewport_size(WINDOW_OF_ANIMATION)
    page.add_style_tag(content=STYLE_OF_ANIMATION)
    page.wait_for_selector("#losses[data-shown]")
    first, *others = frames(page)
    durations = [600, *[200] * (len(others) - 1), 3000]  # milliseconds
    first.save(ANIMATION, save_all=True, append_images=others, duration=durations, loop=0, quality=40, method=4)
    print(f"{ANIMATION}  {ANIMATION.stat().st_size / 1e3:.0f} kB")


def write_pictures_of_views(page):
    """Write a picture of each view of docs/algorithm.md, at the epoch of the page's address; print its path and size."""
    page.set_viewport_size(WINDOW_OF_VIEWS)
    page.add_style_tag(content=STYLE_OF_VIEWS)
    for view in re.findall(r'data-view="([^"]+)"', (DOCS / "algorithm.md").read_text(encoding="utf-8")):
        page.evaluate("(view) => document.getElementById(view).scrollIntoView()", view)
        page.wait_for_selector(f"#{view}[data-shown] .plot .main-svg")
        picture = Image.open(io.BytesIO(page.locator(f"#{view}").screenshot())).convert("RGB")
        file = DOCS / f"images/view-{view}.webp"
        picture.save(file, quality=60, method=6)
        print(f"{file}  {file.stat().st_size / 1e3:.0f} kB")


def main():
    """Write the explorer's page into a temporary folder, and all pictures of it."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "explorer.html"
        write_page([open_cube("mainline", published=True).isel(run=[0])], file)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        # what is written, the epoch in the page's address, and pixels of a picture per pixel of the page
        for write, epoch, scale in ((write_animation, 0, 1), (write_pictures_of_views, 14_000, 1.5)):
            page = browser.new_page(reduced_motion="reduce", device_scale_factor=scale)
            page.goto(f"{file.as_uri()}#epoch={epoch}&range=story&a=17&b=45")
            write(page)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
