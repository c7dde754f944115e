"""Looks at a page with a real browser: look.py BROWSER PAGE FOLDER

Speaks the browser's own protocol over a pipe. Fails when the page logs, asks for anything but itself, is wider than its
window, hides text in its ground, or when a shape does not have its colour where it stands. Leaves pictures in FOLDER.
"""

import base64
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import tempfile
import zlib

PATIENCE = 100


class Browser:
    def __init__(self, program, profile):
        to_read, self.to = os.pipe()
        self.back, to_write = os.pipe()
        flags = [
            "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
            "--force-device-scale-factor=1", "--force-color-profile=srgb", f"--user-data-dir={profile}",
        ]
        shell = f'exec "$@" 3<&{to_read} 4>&{to_write}'
        self.process = subprocess.Popen(
            ["bash", "-c", shell, "browser", program, *flags],
            pass_fds=(to_read, to_write), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self.number, self.session, self.waiting, self.events = 0, None, b"", []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.ask(f"{domain}.enable")

    def message(self):
        while b"\0" not in self.waiting:
            got = os.read(self.back, 1 << 20)
            if not got:
                sys.exit("the browser is gone")
            self.waiting += got
        text, _, self.waiting = self.waiting.partition(b"\0")
        return json.loads(text)

    def ask(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.message()
            if answer.get("id") == self.number:
                if "error" in answer:
                    sys.exit(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def run(self, script):
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in answer:
            sys.exit(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def open(self, url):
        self.ask("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.message())

    def window(self, width, height):
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def scheme(self, name):
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def picture(self, part=None):
        """Of a part, or of all."""
        size = part or {"x": 0, "y": 0, **self.ask("Page.getLayoutMetrics")["cssContentSize"]}
        clip = {name: size[name] for name in ["x", "y", "width", "height"]} | {"scale": 1}
        flags = {"format": "png", "captureBeyondViewport": True, "optimizeForSpeed": True}
        return base64.b64decode(self.ask("Page.captureScreenshot", clip=clip, **flags)["data"])


def pixels(png):
    """Width, and rows of (r, g, b), of a PNG with eight bits a channel."""
    at, data, width, channels = 8, b"", 0, 0
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at:at + 8])
        body = png[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, _, depth, colour = struct.unpack(">IIBB", body[:10])
            channels = {2: 3, 6: 4}[colour]
            assert depth == 8
        elif kind == b"IDAT":
            data += body
        at += length + 12
    data, stride = zlib.decompress(data), width * channels
    rows, above = [], bytearray(stride)
    for start in range(0, len(data), stride + 1):
        how, row = data[start], bytearray(data[start + 1:start + 1 + stride])
        unfilter(how, row, above, channels)
        rows.append(row)
        above = row
    return channels, rows


def unfilter(how, row, above, step):
    if how == 1:
        for i in range(step, len(row)):
            row[i] = (row[i] + row[i - step]) & 255
    elif how == 2:
        row[:] = bytes((a + b) & 255 for a, b in zip(row, above))
    elif how == 3:
        for i in range(len(row)):
            left = row[i - step] if i >= step else 0
            row[i] = (row[i] + (left + above[i]) // 2) & 255
    elif how == 4:
        for i in range(len(row)):
            left, corner = (row[i - step], above[i - step]) if i >= step else (0, 0)
            up = above[i]
            p = left + up - corner
            a, b, c = abs(p - left), abs(p - up), abs(p - corner)
            best = left if a <= b and a <= c else up if b <= c else corner
            row[i] = (row[i] + best) & 255


# The parts of the page with what is drawn in them, by whole pixels.
PARTS = """
(() => [...document.querySelectorAll('.hero, .checks, .chart')].map(part => {
  const box = part.getBoundingClientRect(), left = Math.floor(box.x + scrollX), top = Math.floor(box.y + scrollY);
  const inside = [part, ...part.querySelectorAll('rect, path, .tile, .icon circle, .icon .ground')];
  return {x: left, y: top, width: Math.ceil(box.width) + 1, height: Math.ceil(box.height) + 1, shapes: inside.map(e => {
    const r = e.getBoundingClientRect(), s = getComputedStyle(e);
    return {names: [e.tagName, ...e.classList], x: r.x + scrollX - left, y: r.y + scrollY - top, w: r.width, h: r.height,
            fill: e instanceof SVGElement ? s.fill : s.backgroundColor};
  })};
}))()
"""

# Ratio of light between each text and what it stands on; the page promises 4.5.
FAINT = """
(() => {
  const rgb = t => (t.match(/[\\d.]+/g) || []).map(Number);
  const light = c => { const v = c.slice(0, 3).map(x => x / 255).map(x => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
                       return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
  const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
                        if (c.length < 4 || c[3] === 1) if (c.length) return c; } return [255, 255, 255]; };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), faint = [];
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || e.closest('title, desc, style')) continue;
    const s = getComputedStyle(e), a = light(rgb(e instanceof SVGElement ? s.fill : s.color)), b = light(ground(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) faint.push(ratio.toFixed(2) + ' ' + e.outerHTML.slice(0, 120));
  }
  return faint.slice(0, 5);
})()
"""


def near(a, b):
    return all(abs(x - y) <= 12 for x, y in zip(a, b))


def check_part(part, png, seen):
    """Notes of every shape whether it has its colour in its middle; of a pattern, whether it has more than one."""
    channels, rows = pixels(png)

    def at(x, y):
        y, x = min(max(int(y), 0), len(rows) - 1), min(max(int(x), 0), part["width"] - 1)
        return tuple(rows[y][x * channels:x * channels + 3])

    for shape in part["shapes"]:
        y, fill = shape["y"] + shape["h"] / 2, re.match(r"rgba?\((\d+), (\d+), (\d+)", shape["fill"])
        if fill:
            # The ground of a card or tile is seen at its upper edge, above its text.
            boxed = "DIV" in shape["names"] or "SECTION" in shape["names"]
            x, y = (shape["x"] + 30, shape["y"] + 4) if boxed else (shape["x"] + shape["w"] / 2, y)
            colour, points = tuple(map(int, fill.groups())), [(x, y)]
            if "path" in shape["names"]:  # whose middle may be hollow
                points = [(shape["x"] + i, shape["y"] + j) for i in range(int(shape["w"])) for j in range(int(shape["h"]))]
            right = any(near(at(*point), colour) for point in points)
        else:
            right = len({at(shape["x"] + i, y) for i in range(1, max(2, int(shape["w"]) - 1))}) > 1
        for name in shape["names"]:
            seen.setdefault(name, []).append(right)


def check_shapes(browser, scheme, wanted):
    seen = {}
    for part in browser.run(PARTS):
        check_part(part, browser.picture(part), seen)
    for name in wanted:
        # Shapes may lie on each other; one that is nowhere to be seen is missing.
        if not any(seen.get(name, [])):
            sys.exit(f"{scheme}: no {name} where one should stand: {seen.get(name)}")


def main(program, page, folder, wanted):
    signal.alarm(PATIENCE)
    folder, url = pathlib.Path(folder), pathlib.Path(page).resolve().as_uri()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            look(browser, url, folder, wanted)
        finally:
            browser.process.terminate()
            browser.process.wait()


def look(browser, url, folder, wanted):
    browser.window(1200, 1000)
    browser.open(url)
    for scheme in ["light", "dark"]:
        browser.scheme(scheme)
        (folder / f"{scheme}.png").write_bytes(browser.picture())
        check_shapes(browser, scheme, wanted)
        faint = browser.run(FAINT)
        if faint:
            sys.exit(f"{scheme}: text that is hard to read: {faint}")
    browser.scheme("light")
    for width in [1200, 390]:
        browser.window(width, 1000)
        wide = browser.run("document.documentElement.scrollWidth")
        if wide > width:
            sys.exit(f"the page is {wide} wide in a window of {width}")
    (folder / "narrow.png").write_bytes(browser.picture())
    pdf = base64.b64decode(browser.ask("Page.printToPDF", preferCSSPageSize=True)["data"])
    (folder / "page.pdf").write_bytes(pdf)
    pages = len(re.findall(rb"/Type\s*/Page\b", pdf))
    unnamed = browser.run("[...document.querySelectorAll('svg[role=img]')].filter(e => !e.querySelector('title, desc').textContent).length")
    charts = browser.run("document.querySelectorAll('svg[role=img]').length")
    noise = [e for e in browser.events if e.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")]
    asked = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    if noise or asked != [url] or pages < 1 or unnamed or charts < 1:
        sys.exit(f"console {noise}, requests {asked}, {pages} printed pages, {charts} charts, {unnamed} without a name")
    print(json.dumps({"pages": pages, "charts": charts}))


if __name__ == "__main__":
    main(*sys.argv[1:4], sys.argv[4:])
