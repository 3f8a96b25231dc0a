"use strict";
(() => {
  const text = (cell) => cell.textContent.trim().replace(/\s+/g, " ");
  const quoted = (value) => (/[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const csv = (rows) => rows.map((row) => row.map((value) => quoted(String(value))).join(",")).join("\n") + "\n";

  const signs = {
    "−": "$-$", "–": "--", "±": "$\\pm$", "×": "$\\times$", "≥": "$\\geq$", "≤": "$\\leq$", "χ²": "$\\chi^2$",
    "χ": "$\\chi$", "σ": "$\\sigma$", "Σ": "$\\Sigma$", "μ": "$\\mu$", "µ": "$\\mu$", "η": "$\\eta$", "ϕ": "$\\phi$",
    "Δ": "$\\Delta$", "⊕": "$\\oplus$", "²": "$^2$", "…": "\\ldots{}", "\u202f": "\\,",
  };
  const typeset = (value) => {
    const plain = typeof value === "number" ? String(Number(value.toPrecision(5))).replace(/^-/, "−") : String(value).replace(/^[✓✕!?] /, "");
    const escaped = plain.replace(/[\\{}$&#_%^~<>|]/g, (sign) => ({
      "\\": "\\textbackslash{}", "^": "\\textasciicircum{}", "~": "\\textasciitilde{}", "<": "$<$", ">": "$>$", "|": "$|$",
    })[sign] ?? `\\${sign}`);
    return Object.entries(signs).reduce((result, [sign, command]) => result.replaceAll(sign, command), escaped);
  };
  const latex = (rows, columns) => {
    const lines = rows.map((row) => `  ${row.map(typeset).join(" & ")} \\\\`);
    return [`\\begin{tabular}{${columns}}`, "  \\hline", lines[0], "  \\hline", ...lines.slice(1), "  \\hline", "\\end{tabular}", ""].join("\n");
  };

  const content = (copies, kind) => {
    if (copies.dataset.rows) {
      const rows = JSON.parse(copies.dataset.rows);
      return kind === "CSV" ? csv(rows) : latex(rows, "r".repeat(rows[0].length));
    }
    const rows = [...copies.closest("figure").querySelector("table").rows].map((row) => [...row.cells]);
    if (kind === "CSV") return csv(rows.map((cells) => cells.map((cell) => cell.dataset.csv ?? text(cell))));
    const columns = rows[0].map((cell) => (cell.classList.contains("number") ? "r" : "l")).join("");
    return latex(rows.map((cells) => cells.map((cell) => cell.textContent.trim().replace(/[ \n]+/g, " "))), columns);
  };

  const copied = async (value) => {
    try {
      await navigator.clipboard.writeText(value);
      return true;
    } catch {
      const area = document.createElement("textarea");
      area.value = value;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  };

  for (const button of document.querySelectorAll("button.copy")) {
    const kind = button.dataset.kind;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const done = await copied(content(button.closest(".copies"), kind));
      button.textContent = done ? "Copied" : "Not copied";
      button.focus();
      setTimeout(() => { button.textContent = `Copy as ${kind}`; }, 1600);
    });
  }

  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const seen = new Set();
  const mark = () => {
    const current = [...links.keys()].find((name) => seen.has(name));
    for (const [name, link] of links) {
      if (name === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  const watch = new IntersectionObserver((changes) => {
    for (const change of changes) change.isIntersecting ? seen.add(change.target.id) : seen.delete(change.target.id);
    mark();
  }, { rootMargin: "0px 0px -60% 0px" });
  for (const name of links.keys()) watch.observe(document.getElementById(name));

  const closed = [];
  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details:not([open])")) { one.open = true; closed.push(one); }
  });
  addEventListener("afterprint", () => { for (const one of closed.splice(0)) one.open = false; });
  document.documentElement.dataset.ready = "yes";
})();
