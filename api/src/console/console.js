// Fetches the live part of the overview anew, about as often as new figures come in. Without it the page stays whole.

const EVERY = 5000;
const live = document.getElementById("live");

/** What the person has opened or typed must not be swept away under their hands. */
function busy() {
  const at = document.activeElement;
  return live.contains(at) && at.matches("input, select, textarea") || live.querySelector(".stop[open]") !== null;
}

/** What is focused and which tables are open is found again after the part has been replaced. */
function replace(html) {
  const open = [...live.querySelectorAll(".chart details[open]")].map((details) => details.closest(".chart").id);
  const at = live.contains(document.activeElement) ? path(document.activeElement) : null;
  live.innerHTML = html;
  for (const id of open) {
    document.getElementById(id)?.querySelector("details")?.setAttribute("open", "");
  }
  if (at !== null) {
    find(at)?.focus({ preventScroll: true });
  }
}

function path(element) {
  const way = [];
  for (let node = element; node !== live; node = node.parentElement) {
    way.unshift([...node.parentElement.children].indexOf(node));
  }
  return way;
}

function find(way) {
  return way.reduce((node, place) => node?.children[place], live);
}

function stale(text) {
  let note = document.getElementById("stale");
  if (text === null) {
    note?.remove();
    return;
  }
  if (note === null) {
    note = document.createElement("p");
    note.id = "stale";
    note.className = "stale";
    note.setAttribute("role", "status");
    live.before(note);
  }
  if (note.textContent !== text) note.textContent = text;
}

async function refresh() {
  if (document.hidden || busy()) return;
  try {
    const answer = await fetch(`/console/live?range=${live.dataset.range}`, { cache: "no-store" });
    if (answer.status === 401) {
      location.reload();
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    const html = await answer.text();
    if (!busy()) replace(html);
    stale(null);
  } catch {
    stale("These figures are old: the API, or its database, does not answer at the moment.");
  }
}

if (live !== null) {
  setInterval(refresh, EVERY);
  document.addEventListener("visibilitychange", refresh);
}
