"use strict";
// Fetches this page again and swaps the list, so that what is being typed or selected is left alone.
async function refresh() {
  try {
    if (document.hidden || !getSelection().isCollapsed) return;
    const response = await fetch(location.href, { cache: "no-store" });
    if (!response.ok) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.getElementById("inbox");
    const shown = document.getElementById("inbox");
    if (fresh && fresh.textContent !== shown.textContent) shown.replaceChildren(...fresh.childNodes);
  } catch {
    // The simulator is away; it may come back.
  } finally {
    setTimeout(refresh, 2000);
  }
}
setTimeout(refresh, 2000);
