"""What bench/compare shows of its measurements: a Markdown table, and a plot of the ratios as SVG."""
import html

ROW, GAP, HEAD = 16, 10, 34  # heights: of a bar, between cases, above a question
LABELS, PLOT, NUMBERS = 330, 480, 60  # widths: of the cases' names, of the bars, of what stands behind them
TOP = 84
COLORS = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#994455"]


def peer_names(data):
    """All peers of the run, in the order in which they first occur."""
    return list(dict.fromkeys(peer for result in data["results"] for peer in result["peers"]))


def duration(seconds):
    """Three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            break
    value = seconds / size
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"


def machine_line(data):
    machine = data["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (f"{machine['cpu']} ({' '.join(machine['flags'])}), core {machine['core']}, {machine['threads']} thread, "
            f"{machine['fma_peak_gflops']:.0f} GFLOP/s peak; {machine['compiler']}; {versions}; {machine['date']}; "
            f"{'MKL ' + machine['mkl'] + '; ' if machine['mkl'] else ''}least of {data['repetitions']} repetitions")


def markdown(data):
    """The table: a cell of a peer is its time and, in bold, how many times as long as mat it takes."""
    peers = peer_names(data)
    lines = [machine_line(data), "",
             "| " + " | ".join(["question", "case", "mat", *peers, "share of peak", "difference"]) + " |",
             "|" + "---|" * (len(peers) + 5)]
    for result in data["results"]:
        cells = []
        for peer in peers:
            values = result["peers"].get(peer)
            cells.append(f"{duration(values['seconds'])} **{values['ratio']:.2f}**" if values else "")
        differences = [values["difference"] for values in result["peers"].values() if "difference" in values]
        share = f"{100 * result['mat']['share']:.0f}%" if "share" in result["mat"] else ""
        apart = f"{max(differences):.1e}" if differences else ""
        row = [result["question"], result["case"], duration(result["mat"]["seconds"]), *cells, share, apart]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


class Drawing:
    """The elements of an SVG, one a line."""

    def __init__(self):
        self.lines = []

    def text(self, x, y, text, **attributes):
        self.lines.append(f'<text x="{x:.1f}" y="{y:.1f}"{self.joined(attributes)}>{html.escape(text)}</text>')

    def bar(self, x, y, width, height, color):
        self.lines.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{color}"/>')

    def vertical(self, x, top, bottom, color, width):
        self.lines.append(f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}" stroke="{color}" '
                          f'stroke-width="{width}"/>')

    @staticmethod
    def joined(attributes):
        return "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())

    def document(self, width, height):
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
                f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="DejaVu Sans, Verdana, sans-serif" font-size="11">')
        ground = f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>'
        return "\n".join([head, ground, *self.lines, "</svg>"]) + "\n"


def axis_step(largest):
    """Between the numbers on the axis, so that there are at most ten."""
    step = 1
    while largest / step > 10:
        step *= 2 if str(step)[0] != "2" else 2.5
    return step


def svg(data):
    """Bars of time of peer / time of mat, by question and case. At 1 both take as long."""
    peers = peer_names(data)
    colors = {peer: COLORS[i % len(COLORS)] for i, peer in enumerate(peers)}
    ratios = [values["ratio"] for result in data["results"] for values in result["peers"].values()]
    largest = 1.05 * max([2.0, *ratios])
    scale = PLOT / largest

    bars, y, question = Drawing(), TOP, None
    for result in data["results"]:
        if not result["peers"]:
            continue
        if result["question"] != question:
            question = result["question"]
            y += HEAD
            bars.text(10, y - 8, question.replace("_", " "), font_weight="bold", font_size=13)
        middle = y + ROW * len(result["peers"]) / 2 + 4
        bars.text(LABELS - 8, middle, result["case"].replace("_", " "), text_anchor="end")
        for peer in [name for name in peers if name in result["peers"]]:
            values = result["peers"][peer]
            bars.bar(LABELS, y + 1, values["ratio"] * scale, ROW - 2, colors[peer])
            bars.text(LABELS + max(1, values["ratio"]) * scale + 4, y + ROW - 4, f"{values['ratio']:.2f}", font_size=10)
            y += ROW
        y += GAP

    drawing = Drawing()
    drawing.text(10, 22, "Time of each peer, in times of mat", font_size=16, font_weight="bold")
    machine = data["machine"]
    mkl = f", MKL {machine['mkl']}" if machine["mkl"] else ""
    drawing.text(10, 40, f"{machine['cpu']}, one thread{mkl}, {machine['date']}; above 1 mat is faster", fill="#555555")
    x = 10
    for peer in peers:
        drawing.bar(x, 52, 12, 12, colors[peer])
        drawing.text(x + 17, 62, peer)
        x += 40 + 7 * len(peer)
    step = axis_step(largest)
    for number in {1, *(i * step for i in range(1, int(largest / step) + 1))}:
        drawing.vertical(LABELS + number * scale, TOP + 10, y, "#dddddd", 1)
        drawing.text(LABELS + number * scale, TOP + 4, f"{number:g}", text_anchor="middle", fill="#555555")
    drawing.lines += bars.lines
    drawing.vertical(LABELS + scale, TOP + 10, y, "#000000", 1.5)
    return drawing.document(LABELS + PLOT + NUMBERS, y + 10)
