"""The points of a plot on the page: where they are by its axes, and the mouse on them."""

import numpy as np

TICKS = """() => [...document.querySelectorAll(".sercore-points .tick")].map(tick => {
  const line = tick.querySelector("line").getBoundingClientRect();
  const across = tick.getAttribute("transform").endsWith(",0)");
  const value = Number(tick.textContent.replace("−", "-").replace(",", ""));
  return [across, value, across ? line.x + line.width / 2 : line.y + line.height / 2];
})"""
CLEAR = 4  # of a lasso's edges from the nearest point [pixels]


def canvas(page):
    """The plot, drawn and in sight."""
    drawn = page.locator(".sercore-points canvas").first
    drawn.wait_for()
    page.locator(".sercore-points").first.scroll_into_view_if_needed()
    page.wait_for_function(f"({TICKS})().length > 4")
    page.wait_for_timeout(1000)
    return drawn


def ticks(page):
    """Values at the ticks of both axes."""
    return [value for _, value, _ in page.evaluate(TICKS)]


def changed(page, before):
    """Wait until the axes show other values than `before`."""
    page.wait_for_function(
        f"before => JSON.stringify(({TICKS})().map(tick => tick[1])) != JSON.stringify(before)", arg=before
    )


def pixels(page, across, up):
    """Where the points at `across` and `up` are on the page, (points, 2), by the ticks of the axes."""
    canvas(page)
    marks = page.evaluate(TICKS)
    found = []
    for of_across, values in ((True, across), (False, up)):
        pairs = np.array([(value, pixel) for kind, value, pixel in marks if kind == of_across])
        slope, start = np.polyfit(*pairs.T, 1)
        found.append(start + slope * np.asarray(values, dtype=float))
    return np.column_stack(found)


def few(places, low=3, high=9):
    """A rectangle (left, top, right, bottom) around some of `places` with none near its edges, and which are inside."""
    rng = np.random.default_rng(0)
    for _ in range(100_000):
        left, right = np.sort(rng.uniform(*np.quantile(places[:, 0], [0.05, 0.95]), 2))
        top, bottom = np.sort(rng.uniform(*np.quantile(places[:, 1], [0.05, 0.95]), 2))
        edges = np.array([left, top, right, bottom])

        def inside(by, edges=edges):
            return ((places > edges[:2] - by) & (places < edges[2:] + by)).all(1)

        count = inside(0).sum()
        if low <= count <= high and inside(CLEAR).sum() == count == inside(-CLEAR).sum():
            return edges, inside(0)
    raise AssertionError("no room for a lasso between the points")


def lasso(page, edges):
    """Draw a lasso around the rectangle `edges`, by the button for it."""
    left, top, right, bottom = edges
    page.get_by_title("Activate lasso selection").first.click()
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top + 8)):
        page.mouse.move(x, y, steps=10)
        page.wait_for_timeout(60)
    page.mouse.up()
    page.get_by_title("Activate pan & zoom").first.click()


def alone(places):
    """The number of the point that is farthest from its nearest neighbour, within the middle of the plot."""
    gaps = np.linalg.norm(places[:, None] - places, axis=-1)
    np.fill_diagonal(gaps, np.inf)
    nearest = gaps.min(1)
    low, high = np.quantile(places, [0.05, 0.95], axis=0)
    nearest[((places < low) | (places > high)).any(1)] = 0
    return int(nearest.argmax())


def hover(page, place, text):
    """Move the mouse over the point at `place`, and wait until what it shows has `text`."""
    page.mouse.move(place[0] - 3, place[1] - 3)
    page.mouse.move(*place)
    page.locator(".sercore-points").get_by_text(text, exact=True).first.wait_for()
