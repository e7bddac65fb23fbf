"""The static site, the badges, and the table of the README, from the results on file."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any

from .gate import verdict_of
from .package import Cell, Package, every

ORDER = ["holds", "holds within limits", "defect", "unsupported", "broken", "not judged", "under review"]
MEANING = {
    "holds": "every law that applies holds",
    "holds within limits": "every law that applies holds, apart from limits that are declared and explained on the package's page",
    "defect": "at least one law fails, and the reason is understood and shown with its smallest case",
    "unsupported": "the package declines what the gate asks, with a reason",
    "broken": "it cannot be installed, crashes, hangs, or answers nothing",
    "not judged": "the gate has no law and no certified value for this number yet",
    "under review": "a law fails and it is not yet known why: this is no verdict on the package",
    "not offered": "the package does not claim this number: never a failure",
}
MARK = {"holds": "✓", "holds within limits": "≈", "defect": "✗", "unsupported": "–", "broken": "!", "not judged": "·", "under review": "?"}
COLOUR = {
    "holds": "#1a7f37",
    "holds within limits": "#7a6500",
    "defect": "#b3261e",
    "unsupported": "#57606a",
    "broken": "#8a3ffc",
    "under review": "#57606a",
}
STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --page: #fff; --tint: #f6f8fa; --link: #0969da }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9aa4af; --line: #3d444d; --page: #0d1117; --tint: #161b22; --link: #58a6ff }
  .holds { --own: #3fb950 } .limits { --own: #d4a72c } .defect { --own: #ff7b72 } .broken { --own: #be95ff }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 74rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page) }
h1 { font-size: 1.6rem; line-height: 1.2 } h2 { font-size: 1.2rem; margin-top: 2rem } h3 { font-size: 1rem }
a { color: var(--link) } p, li { max-width: 46rem; overflow-wrap: anywhere } code, pre { font-size: .875em; overflow-wrap: anywhere }
pre { background: var(--tint); padding: .6rem; white-space: pre-wrap; border-radius: .3rem }
table { border-collapse: collapse; font-size: .875rem; width: 100% }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .5rem; text-align: left; vertical-align: top }
td.number { font-variant-numeric: tabular-nums }
.scroll { overflow-x: auto } .scroll table { width: auto }
.scroll th:first-child { position: sticky; left: 0; background: var(--page) }
.scroll td { text-align: center; font-size: 1.05rem } .scroll thead th { writing-mode: vertical-rl; transform: rotate(180deg); padding: .5rem .2rem; font-weight: 400 }
.scroll thead th:first-child { writing-mode: initial; transform: none; font-weight: 600 }
.verdict { color: var(--own); font-weight: 600; white-space: nowrap } td a.verdict { text-decoration: none }
.holds { --own: #1a7f37 } .limits { --own: #7a6500 } .defect { --own: #b3261e } .broken { --own: #8a3ffc } .other { --own: #57606a }
@media (prefers-color-scheme: dark) { .holds { --own: #3fb950 } .limits { --own: #d4a72c } .defect { --own: #ff7b72 } .broken { --own: #be95ff } .other { --own: #9aa4af } }
table.cells { table-layout: fixed } table.cells th:nth-child(1) { width: 25% } table.cells th:nth-child(2) { width: 15% }
table.cells th:nth-child(3) { width: 12% } table.cells th:nth-child(4) { width: 22% } table.cells td { overflow-wrap: anywhere }
.soft { color: var(--soft) } nav { font-size: .875rem }
dl.key { display: grid; grid-template-columns: max-content 1fr; gap: .2rem .8rem; margin: 0 } dl.key dd { margin: 0 }
@media (max-width: 640px) {
  dl.key { display: block } dl.key dd { margin: 0 0 .5rem }
  table.cells { table-layout: auto }
  table.cells thead { display: none } table.cells tr { display: block; border-bottom: 1px solid var(--line); padding: .5rem 0 }
  table.cells td { display: block; border: 0; padding: .1rem 0 } table.cells td[data-name]::before { content: attr(data-name) ": "; color: var(--soft) }
  table.cells td:empty { display: none }
}
"""


def kind_of(verdict: str) -> str:
    return {"holds": "holds", "holds within limits": "limits", "defect": "defect", "broken": "broken"}.get(verdict, "other")


def page(title: str, body: str, depth: str = "") -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, '
        f'initial-scale=1"><title>{escape(title)}</title><link rel="stylesheet" href="{depth}style.css"></head><body>\n{body}\n</body></html>\n'
    )


def words(text: str) -> str:
    """Plain text with `code` and addresses."""
    out = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
    return re.sub(r"(https?://[^\s<),;]+[^\s<),;.])", r'<a href="\1">\1</a>', out)


def amount(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def score(cell: dict[str, Any]) -> str:
    """Digits that agree with the certified values, or the largest z."""
    if cell.get("fewest_digits") is not None and not cell["false_alarms"].get("decisions"):
        return f"{cell['fewest_digits']:.1f} digits"
    if cell.get("largest_z") is not None and cell["false_alarms"].get("decisions"):
        return f"z {abs(cell['largest_z']):.1f}"
    return ""


def cost(cell: dict[str, Any]) -> str:
    seconds = cell.get("median_seconds")
    if seconds is None:
        return ""
    out = f"{seconds:.2g} s"
    if cell.get("median_products"):
        out += f", {cell['median_products']:.0f} products"
    if cell.get("median_digits"):
        out += f", {seconds / cell['median_digits']:.1g} s per digit"
    return out


def defects(package: Package, cell: dict[str, Any]) -> list[dict[str, Any]]:
    """The understood defects that a run of a cell met."""
    declared = next((c for c in package.cells if c.id == cell["id"]), None)
    return [d for d in (declared.table.get("defect", []) if declared else []) if d["title"] in cell.get("defects", {})]


def worst(package: Package, cell: dict[str, Any]) -> str:
    found = defects(package, cell)
    if found:
        return found[0]["title"]
    if cell["verdict"] == "broken":
        return cell.get("reason", "")
    declared = next((c for c in package.cells if c.id == cell["id"]), None)
    if declared and cell["verdict"] == "holds within limits":
        return next(iter(declared.table.get("known", {}).values()), "")
    return ""


def read(survey: Path) -> list[tuple[Package, dict[str, Any]]]:
    out = []
    for package in every(survey):
        file = survey / "results" / f"{package.name}.json"
        if file.exists():
            result = json.loads(file.read_text())
            declared = {cell.id: cell for cell in package.cells}
            for cell in result["cells"]:
                # What is said of a failure may have changed since the run; its decisions have not.
                if cell.get("laws") and (cell["id"] in declared or package.table.get("own")):
                    cell |= verdict_of(declared.get(cell["id"], Cell({cell["kind"]: cell["what"]})), cell["laws"])
            result["cells"] = [c for c in result["cells"] if c["id"] in declared or package.table.get("own")]
            out.append((package, result))
    return out


def counted(result: dict[str, Any]) -> dict[str, int]:
    verdicts = [cell["verdict"] for cell in result["cells"]]
    return {verdict: verdicts.count(verdict) for verdict in ORDER if verdict in verdicts}


def name_of(cell: dict[str, Any]) -> str:
    link = cell["column"] != cell["what"]
    parts = cell["id"][len(cell["what"]) :].strip(".").split(".") if cell["id"] != cell["what"] else []
    variant = ".".join(parts[1:] if link else parts).replace("_", " ")
    return cell["column"] + (f", {variant}" if variant else "")


def badge(label: str, text: str, colour: str) -> str:
    left, right = 6.3 * len(label) + 12, 6.3 * len(text) + 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right:.0f}" height="20" role="img" aria-label="{escape(label)}: '
        f'{escape(text)}"><title>{escape(label)}: {escape(text)}</title><rect width="{left + right:.0f}" height="20" rx="3" '
        f'fill="#444"/><rect x="{left:.0f}" width="{right:.0f}" height="20" rx="3" fill="{colour}"/><g fill="#fff" '
        f'font-family="Verdana,DejaVu Sans,sans-serif" font-size="11"><text x="6" y="14" textLength="{left - 12:.0f}">{escape(label)}'
        f'</text><text x="{left + 6:.0f}" y="14" textLength="{right - 12:.0f}">{escape(text)}</text></g></svg>\n'
    )


def badge_of(result: dict[str, Any]) -> tuple[str, str]:
    count = counted(result)
    good = count.get("holds", 0) + count.get("holds within limits", 0)
    if count.get("defect"):
        return f"{good} hold, {count['defect']} with a defect", COLOUR["defect"]
    if good:
        return f"{good} of {len(result['cells'])} hold", COLOUR["holds"]
    return "not judged", COLOUR["unsupported"]


def tag(verdict: str, text: str | None = None) -> str:
    return f'<span class="verdict {kind_of(verdict)}">{escape(text or verdict)}</span>'


def cell_rows(package: Package, result: dict[str, Any], with_link: bool) -> str:
    rows = []
    for cell in result["cells"]:
        name = escape(name_of(cell))
        anchor = f"{package.name}.html#{cell['id']}" if with_link else f"#{cell['id']}"
        rows.append(
            f'<tr><td><a href="{anchor}">{name}</a></td><td>{tag(cell["verdict"])}</td>'
            f'<td class="number" data-name="agreement">{score(cell)}</td><td class="number" data-name="cost of an answer">{cost(cell)}</td>'
            f'<td data-name="worst known case">{words(worst(package, cell))}</td></tr>'
        )
    rows = [re.sub(r'<td[^>]*data-name="[^"]*"></td>', "<td></td>", row) for row in rows]
    head = "<tr><th>number</th><th>verdict</th><th>agreement</th><th>cost of an answer</th><th>worst known case</th></tr>"
    return f'<table class="cells"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'


def overview(all_results: list[tuple[Package, dict[str, Any]]]) -> str:
    """Package x measure, one mark per cell: the worst of its variants."""
    real = [result for package, result in all_results if not package.table.get("own")]
    columns = list({cell["column"]: None for result in real for cell in result["cells"]})
    kinds = {cell["column"]: cell["kind"] for _, result in all_results for cell in result["cells"]}
    columns.sort(key=lambda column: (["measure", "prior", "kernel"].index(kinds[column]), column))
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    rows = []
    for package, result in all_results:
        marks = []
        for column in columns:
            found = [cell for cell in result["cells"] if cell["column"] == column]
            if not found:
                marks.append("<td></td>")
                continue
            links = [
                f'<a class="verdict {kind_of(cell["verdict"])}" title="{escape(name_of(cell))}: {escape(cell["verdict"])}" '
                f'href="{package.name}.html#{cell["id"]}">{MARK[cell["verdict"]]}</a>'
                for cell in found
            ]
            marks.append(f"<td>{''.join(links)}</td>")
        rows.append(f'<tr><th><a href="{package.name}.html">{escape(package.title)}</a></th>{"".join(marks)}</tr>')
    return f'<div class="scroll"><table><thead><tr><th>package</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def index(survey: Path, all_results: list[tuple[Package, dict[str, Any]]], laws: list[tuple[str, str]]) -> str:
    real = [(p, r) for p, r in all_results if not p.table.get("own")]
    total = sum(len(result["cells"]) for _, result in real)
    first = real[0][1] if real else {}
    out = [
        "<h1>Packages that compute flatness and log P(f), held to one gate</h1>",
        f"<p>{len(real)} packages, {total} numbers that they compute, each asked through <code>flatgauge check</code> on the same "
        "networks and Gram matrices. A mark is a verdict on one number of one version of one package, by laws that every right "
        'estimator obeys (<a href="#laws">all laws</a>) and by certified values. It is no ranking: a package that answers more is asked more.</p>',
        "<dl class=key>"
        + "".join(
            f"<dt>{tag(v, (MARK[v] + ' ' + v) if v in MARK else v)}</dt><dd>{escape(text)}</dd>" for v, text in MEANING.items()
        )
        + "</dl>",
        "<h2>All at once</h2><p>One mark per way to compute the number; an empty field is not offered. Hover or follow a mark for the details.</p>",
        overview(all_results),
        "<h2>Package by package</h2>",
        "<p><b>Agreement</b>: the fewest right digits on certified values (the log relative error of NIST's reference datasets), or, for "
        "random estimates, the largest distance from a certified value in standard errors. <b>Cost</b>: median over all answers, with one "
        f"thread on {escape(first.get('machine', {}).get('processor', 'one machine'))} shared with other work, the time to read the "
        "case included; products are products with the Hessian where the adapter counts them; seconds per digit divides by the median "
        "of the right digits.</p>",
    ]
    for package, result in all_results:
        out.append(
            f'<h3><a href="{package.name}.html">{escape(package.title)}</a> <span class="soft">{escape(result["version"])}</span></h3>'
        )
        if package.table.get("own"):
            out.append("<p>The estimators of this repository, as rows like any other (`flatgauge verify`).</p>".replace("`flatgauge verify`", "<code>flatgauge verify</code>"))
        out.append(cell_rows(package, result, True))
        missing = package.table.get("not_offered", [])
        if missing:
            out.append("<p class=soft>Not offered: " + "; ".join(f"{escape(m['what'])} ({words(m['reason'])})" for m in missing) + ".</p>")
    absent = [p for p in every(survey) if p.table.get("absent")]
    if absent:
        out.append("<h2>Not in the table</h2><ul>")
        out += [f"<li><b>{escape(p.title)}</b>: {words(p.table['absent'])}</li>" for p in absent]
        out.append("</ul>")
    out.append('<h2 id="laws">The laws</h2><ul>')
    out += [f'<li><a href="law-{name}.html"><code>{name}</code></a>: {words(text)}</li>' for name, text in laws]
    out.append("</ul>")
    out.append((survey / "object.html").read_text())
    return page("Packages held to the gate of flatgauge", "\n".join(out))


def package_page(survey: Path, package: Package, result: dict[str, Any]) -> str:
    machine = result["machine"]
    out = [
        '<nav><a href="index.html">all packages</a></nav>',
        f'<h1>{escape(package.title)} <span class="soft">{escape(result["version"])}</span></h1>',
        f'<p><img src="badges/{package.name}.svg" alt="{escape(badge_of(result)[0])}"></p>',
        f"<p>Licence: {escape(package.table['licence'])}. Home: {words(package.table['home'])}. Run on {result['date']} with flatgauge "
        f"{escape(result['flatgauge'])}, {result['tier']} tier, seed {result['seed']}, on {escape(machine['processor'])}, "
        f"{escape(machine['system'])}. Every decision is in <code>survey/results/{package.name}.json</code>.</p>",
        cell_rows(package, result, False),
    ]
    if package.table.get("convention"):
        out.append("<h2>Conventions</h2><p>What is the package's own way and is converted before anything is compared:</p><ul>")
        out += [f"<li>{words(c['what'])} <span class=soft>({words(c['source'])})</span></li>" for c in package.table["convention"]]
        out.append("</ul>")
    if package.table.get("not_offered"):
        out.append("<h2>Not offered</h2><ul>")
        out += [f"<li>{escape(m['what'])}: {words(m['reason'])}</li>" for m in package.table["not_offered"]]
        out.append("</ul>")
    out.append("<h2>Number by number</h2>")
    for cell in result["cells"]:
        declared = next((c for c in package.cells if c.id == cell["id"]), None)
        out.append(f'<h3 id="{cell["id"]}">{escape(name_of(cell))}: {tag(cell["verdict"])}</h3>')
        if declared and declared.table.get("how"):
            out.append(f"<p>How: {words(declared.table['how'])}.</p>")
        if declared and declared.table.get("beside"):
            out.append(f"<p>{words(declared.table['beside'])}</p>")
        if declared and declared.table.get("accuracy"):
            out.append(f"<p>Judged at a declared relative accuracy of {declared.table['accuracy']}.</p>")
        if cell.get("reason"):
            out.append(f"<p>{escape(cell['reason'])}</p>")
        counts = cell.get("counts")
        if counts:
            alarms = cell["false_alarms"]
            text = f"{counts['pass']} decisions pass, {counts['fail']} fail, {counts['skip']} are not made"
            text += f" ({counts['unsupported']} as the package declines the case)" if counts["unsupported"] else ""
            if alarms.get("decisions"):
                text += (
                    f". {alarms['decisions']} rest on standard errors, at {alarms['z']:g} of them: a right estimator with honest errors "
                    f"would fail one of these in a run with probability below {max(alarms['per_run'], 1e-300):.1g}"
                )
            out.append(f"<p>{text}.</p>")
        out.append(f"<pre>{escape(cell['line'])}</pre>")
        for defect in defects(package, cell):
            places = cell["defects"][defect["title"]]
            out.append(f"<p><b>{words(defect['title'])}.</b> {words(defect['why'])}</p><ul>")
            if "predicted" in defect:
                out.append(f"<li>predicted {words(str(defect['predicted']))}, found {words(str(defect['found']))}</li>")
            if "case" in defect:
                out.append(f'<li>smallest case: <code>survey/packages/{package.name}/{escape(defect["case"])}</code></li>')
            laws = sorted({place.split("/")[0] for place in places})
            out.append("<li>law: " + ", ".join(f'<a href="law-{law}.html"><code>{law}</code></a>' for law in laws) + f"; {len(places)} decisions</li>")
            out.append(f"<li>tracker: {words(defect.get('tracker', 'no report is known to us'))}</li>")
            flag = f" --case survey/packages/{package.name}/{defect['case']}" if "case" in defect else f" --only '{places[0]}'"
            out.append(f"</ul><p>One line that shows it:</p><pre>{escape(cell['line'] + flag)}</pre>")
        if declared and declared.table.get("known"):
            out.append("<p>Declared limits (patterns of law/estimator/case, given to <code>--known</code>):</p><ul>")
            out += [f"<li><code>{escape(k)}</code>: {words(v)}</li>" for k, v in declared.table["known"].items()]
            out.append("</ul>")
        if cell.get("unexplained"):
            out.append("<p>Not yet understood, and therefore no verdict:</p><ul>")
            out += [f"<li><code>{escape(place)}</code></li>" for place in cell["unexplained"][:12]]
            out.append("</ul>")
    if result.get("installed"):
        out.append(f"<h2>Versions</h2><p class=soft>{escape(', '.join(result['installed']))}</p>")
    return page(f"{package.title} at the gate of flatgauge", "\n".join(out))


def law_texts(survey: Path) -> list[tuple[str, str]]:
    """Ids and sentences from docs/laws.md."""
    rows = re.findall(r"^\| \[`([a-z_.]+)`\]\(#[^)]*\) \| (.*) \|$", (survey.parent / "docs" / "laws.md").read_text(), re.M)
    return [(name, text.replace("\\|", "|")) for name, text in rows]


def law_page(survey: Path, name: str, text: str, all_results: list[tuple[Package, dict[str, Any]]]) -> str:
    book = (survey.parent / "docs" / "laws.md").read_text()
    found = re.search(rf"^### `{re.escape(name)}`\n(.*?)(?=^### |\Z)", book, re.M | re.S)
    more = found.group(1) if found else ""
    formula = re.search(r"```text\n(.*?)```", more, re.S)
    facts = re.findall(r"^- \*\*(.*?)\*\*: (.*)$", more, re.M)
    out = ['<nav><a href="index.html">all packages</a></nav>', f"<h1><code>{name}</code></h1>", f"<p>{words(text)}.</p>"]
    if formula:
        out.append(f"<pre>{escape(formula.group(1))}</pre>")
    plain = [(key, re.sub(r"\[([^\]]*)\]\(([^)]*)\)", r"\1 (\2)", value).replace("*", "")) for key, value in facts]
    out += ["<ul>", *(f"<li>{escape(key)}: {words(value)}</li>" for key, value in plain), "</ul>"]
    rows = []
    for package, result in all_results:
        for cell in result["cells"]:
            own = [row for row in cell.get("laws", []) if row["law"] == name]
            passes, fails = (sum(row["verdict"] == verdict for row in own) for verdict in ("pass", "fail"))
            known = sum(row["cause"] == "known" for row in own)
            if passes + fails + known:
                verdict = "holds" if not fails and not known else "holds within limits" if not fails else "defect" if cell["verdict"] != "under review" else "under review"
                rows.append(
                    f'<tr><td><a href="{package.name}.html#{cell["id"]}">{escape(package.title)}: {escape(name_of(cell))}</a></td>'
                    f'<td>{tag(verdict)}</td><td class="number" data-name="pass">{passes}</td><td class="number" data-name="fail">{fails}</td>'
                    f'<td class="number" data-name="declared">{known}</td></tr>'
                )
    head = "<tr><th>estimator</th><th>here</th><th>pass</th><th>fail</th><th>declared</th></tr>"
    out.append(f'<h2>Who was held to it</h2><table class="cells"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>')
    return page(f"{name}: a law of flatgauge", "\n".join(out))


def readme_table(all_results: list[tuple[Package, dict[str, Any]]]) -> str:
    rows = ["| package | holds | holds within declared limits | defect | other |", "|---|---|---|---|---|"]
    for package, result in all_results:
        groups: dict[str, list[str]] = {"holds": [], "holds within limits": [], "defect": [], "other": []}
        for cell in result["cells"]:
            name = f"`{cell['column']}`" if "(" not in cell["column"] else cell["column"]
            label = name if cell["verdict"] in groups else f"{name} ({cell['verdict']})"
            group = groups[cell["verdict"] if cell["verdict"] in groups else "other"]
            if label not in group:
                group.append(label)
        if package.table.get("own"):
            shown = [f"{len(group)} numbers" if len(group) > 6 else ", ".join(group) for group in groups.values()]
        else:
            shown = [", ".join(group) for group in groups.values()]
        rows.append(f"| [{package.title}](survey/site/{package.name}.html) {result['version'] if not package.table.get('own') else ''} | " + " | ".join(shown) + " |")
    return "\n".join(re.sub(r" +", " ", row) for row in rows)


def splice(readme: Path, table: str) -> None:
    text = readme.read_text()
    begin, end = "<!-- survey -->", "<!-- /survey -->"
    if begin in text and end in text:
        first, last = text.index(begin) + len(begin), text.index(end)
        readme.write_text(f"{text[:first]}\n{table}\n{text[last:]}")


def write(survey: Path) -> None:
    """Writes everything that is made from the results."""
    site = survey / "site"
    (site / "badges").mkdir(parents=True, exist_ok=True)
    for old in [*site.glob("*.html"), *site.glob("badges/*.svg")]:
        old.unlink()
    all_results = read(survey)
    laws = law_texts(survey)
    (site / "style.css").write_text(STYLE.lstrip())
    (site / "index.html").write_text(index(survey, all_results, laws))
    for package, result in all_results:
        (site / f"{package.name}.html").write_text(package_page(survey, package, result))
        text, colour = badge_of(result)
        (site / "badges" / f"{package.name}.svg").write_text(badge("flatgauge", text, colour))
    for name, text in laws:
        (site / f"law-{name}.html").write_text(law_page(survey, name, text, all_results))
    splice(survey.parent / "README.md", readme_table(all_results))
