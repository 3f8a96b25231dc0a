"use strict";
(() => {
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const value = (cell) => quoted(cell.dataset.csv ?? cell.textContent.trim().replace(/\s+/g, " "));
  const csv = (table) => [...table.rows].map((row) => [...row.cells].map(value).join(",")).join("\n") + "\n";

  const copied = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  };

  for (const button of document.querySelectorAll("button.copy")) {
    const table = button.closest("figure").querySelector("table");
    button.hidden = false;
    button.addEventListener("click", async () => {
      const done = await copied(csv(table));
      button.textContent = done ? "Copied" : "Not copied";
      button.focus();
      setTimeout(() => { button.textContent = "Copy as CSV"; }, 1600);
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
