"""Write docs/images/explorer.webp: the explorer replays the training of the mainline's first run.

Run `.venv/bin/python docs/moving_picture.py`. It needs Chromium and the published cube.
"""

import io
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import sync_playwright

from progress_measures import open_cube
from progress_measures.explorer.page import write_page

OUT = Path(__file__).parent / "images/explorer.webp"
EPOCHS = [*range(0, 8000, 400), *range(8000, 14_001, 2000)]
SIZE = {"width": 1000, "height": 860}
WRITTEN = (800, 688)  # pixels
SHOWN = ("losses", "norms-W_E", "embedding", "interference")
STYLE = f"""
header, footer, .about, .foot, .note, .speed, .range {{ display: none !important; }}
.card:not({", ".join(f"#{view}" for view in SHOWN)}) {{ display: none; }}
body {{ padding: 0 10px; }}
main {{ margin-top: 10px; gap: 8px; }}
main .card {{ grid-column: span 6 !important; padding-block: 8px; }}
.plot, .plot.tall {{ height: 285px; }}
.card .numbers {{ min-height: 56px; align-content: start; }}
.time {{ margin-top: 8px; }}
"""


def frames(page):
    """Yield a picture of the page at each of the epochs. Plots get the size of their changed cards when they are drawn again."""
    page.evaluate("() => { location.hash = location.hash.replace('epoch=0', 'epoch=100'); }")
    page.wait_for_selector('#losses[data-shown*="epoch=100&"]')
    for epoch in EPOCHS:
        page.evaluate("(epoch) => { location.hash = location.hash.replace(/epoch=\\d+/, `epoch=${epoch}`); }", epoch)
        for view in SHOWN:
            page.wait_for_selector(f'#{view}[data-shown*="epoch={epoch}&"]')
        yield Image.open(io.BytesIO(page.screenshot())).convert("RGB").resize(WRITTEN, Image.Resampling.LANCZOS)


def main():
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "explorer.html"
        write_page([open_cube("mainline", published=True).isel(run=[0])], file)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, reduced_motion="reduce")
        page.goto(f"{file.as_uri()}#epoch=0&range=story&a=17&b=45")
        page.add_style_tag(content=STYLE)
        page.wait_for_selector("#losses[data-shown]")
        first, *others = frames(page)
        browser.close()
    durations = [600, *[200] * (len(others) - 1), 3000]
    first.save(OUT, save_all=True, append_images=others, duration=durations, loop=0, quality=40, method=4)
    print(f"{OUT}  {OUT.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
