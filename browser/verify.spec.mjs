// The hosted page, together with the inbox: number in, code in, done.
//
// `hulak` runs with a short pause between messages and many messages to a number, so that no scene waits long.

import { createServer } from "node:http";
import { after } from "node:test";

import {
  accessible, api, ask, assert, codeTo, fits, inbox, messages, scene, shot, tabTo, until, wrongCode,
} from "./harness.mjs";

const EN = {
  phone: "Mobile number", send: "Send code", code: "Code from the SMS", check: "Verify", sent: "Sent. It may take",
  done: "Your number is verified", heading: "Verify your phone number", other: "Use another number",
  inbox: "Open the SMS inbox",
};
const NE = {
  phone: "मोबाइल नम्बर", send: "कोड पठाउनुहोस्", code: "SMSमा आएको कोड", check: "प्रमाणित गर्नुहोस्", sent: "पठाइयो।",
  done: "तपाईंको नम्बर प्रमाणित भयो", heading: "आफ्नो फोन नम्बर प्रमाणित गर्नुहोस्", other: "अर्को नम्बर प्रयोग गर्नुहोस्",
  inbox: "SMS इनबक्स खोल्नुहोस्",
};

// Every scene has a number of its own.
let numbers = 9841000000;
const fresh = () => String((numbers += 1));
const devanagari = (text) => text.replace(/\d/g, (digit) => "०१२३४५६७८९"[digit]);

const field = (page, label) => page.getByLabel(label, { exact: true });
const button = (page, name) => page.getByRole("button", { name, exact: true });

/** Opens the page, types a number and asks for its code. */
async function begin(page, to, words = EN, address = `${api}/verify`) {
  await page.goto(address);
  await field(page, words.phone).fill(to);
  await button(page, words.send).click();
  await field(page, words.code).waitFor();
}

/** Where an application's browsers come back to: the address that `hulak/tests/browser.rs` puts on the list. */
const visits = [];
const application = createServer((request, response) => {
  visits.push(request);
  response.setHeader("Content-Type", "text/html");
  response.end("<!doctype html><html lang=en><title>Shop</title><link rel=icon href='data:,'><h1>Welcome back</h1></html>");
});
const back = new URL(process.env.HULAK_TEST_BACK);
await new Promise((ready) => application.listen(Number(back.port), "127.0.0.1", ready));
after(() => application.close());

async function made(more = {}) {
  const answer = await ask("POST", "/v1/pages", { purpose: "verify", redirect_uri: back.href, state: "s&1 ü", ...more });
  assert.equal(answer.status, 201, JSON.stringify(answer));
  return answer.body.url;
}

for (const [size, scheme, language, words] of [
  ["desktop", "light", "en", EN],
  ["phone", "dark", "en", EN],
  ["phone", "light", "ne", NE],
  ["desktop", "dark", "ne", NE],
]) {
  scene(`from a number to the end: ${size}, ${scheme}, ${language}`, { size, scheme, language }, async ({ page, context }) => {
    const picture = `verify-${language}${size === "phone" ? "-phone" : ""}${scheme === "dark" ? "-dark" : ""}`;
    const to = fresh();
    await page.goto(`${api}/verify`);
    await page.getByRole("heading", { name: words.heading }).waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.lang), language);
    await until("the focus", () => field(page, words.phone).evaluate((element) => element === document.activeElement));
    await accessible(page);
    await fits(page);
    await shot(page, picture);
    await field(page, words.phone).fill(language === "ne" ? devanagari(to) : to);
    await button(page, words.send).click();
    await page.getByText(words.sent).waitFor();
    await accessible(page);
    await fits(page);
    await shot(page, `${picture}-code`);
    // The code is read where it arrives: in the inbox, which another window shows.
    const opened = context.waitForEvent("page");
    await page.getByRole("link", { name: words.inbox }).click();
    const window = await opened;
    assert.equal(window.url(), inbox);
    await window.getByRole("heading", { name: to }).waitFor();
    const code = await window.locator(`article[data-key="${to}"] .digits`).innerText();
    const [message] = await messages(to);
    assert.equal(message.text.includes("कोड"), language === "ne", message.text);
    await window.close();
    await field(page, words.code).fill(language === "ne" ? devanagari(code) : code);
    assert.equal(await field(page, words.code).inputValue(), code, "digits are digits");
    await button(page, words.check).click();
    await page.getByRole("heading", { name: words.done }).waitFor();
    await accessible(page);
    await shot(page, `${picture}-done`);
    const number = await ask("GET", `/v1/phones/${to}`);
    assert.equal(number.body.validated, true);
  });
}

scene("an application's page takes the browser back", {}, async ({ page }) => {
  const to = fresh();
  const address = await made();
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  await begin(page, to, EN, address);
  assert.equal(page.url(), `${api}/verify`, "nothing stays in the address bar");
  await field(page, EN.code).fill(await codeTo(to));
  await button(page, EN.check).click();
  await page.getByRole("heading", { name: "Welcome back" }).waitFor();
  const came = new URL(page.url());
  assert.equal(came.searchParams.get("state"), "s&1 ü");
  const [visit] = visits.slice(-1);
  assert.equal(visit.headers.referer, undefined);
  // A page's token at the beginning of a word, the second part of an approval's: random letters cannot spell either.
  const token = /(?:^|[^\w-]|%[0-9A-F]{2})pt_|(?:\.|%2E)eyJ/i;
  assert.ok(!asked.some((url) => token.test(url)), asked.join("\n"));
  const page_code = came.searchParams.get("page_code");
  const swapped = await ask("POST", "/v1/pages/exchange", { page_code });
  assert.deepEqual([swapped.status, swapped.body.verification.phone], [200, `+977${to}`]);
  const claims = JSON.parse(Buffer.from(swapped.body.token.split(".")[1], "base64url"));
  assert.equal(claims.sub, `+977${to}`);
  assert.equal((await ask("POST", "/v1/pages/exchange", { page_code })).status, 422);
});

scene("the page speaks the application's language, until the person says otherwise", { silent: false }, async ({ page }) => {
  await page.goto(await made({ locale: "ne" }));
  await field(page, NE.phone).waitFor();
  await page.getByRole("button", { name: "English" }).click();
  await field(page, EN.phone).fill("12");
  await button(page, EN.send).click();
  await page.getByText("This is not a whole Nepali mobile number.").waitFor();
  // What was said is said again.
  await page.getByRole("button", { name: "नेपाली" }).click();
  await page.getByText("यो पूरा नेपाली मोबाइल नम्बर होइन।").waitFor();
  await accessible(page);
  await page.getByRole("button", { name: "English" }).click();
  await page.reload();
  await field(page, EN.phone).waitFor();
});

scene("a wrong code says how many tries are left", { silent: false }, async ({ page }) => {
  const to = fresh();
  await begin(page, to);
  const code = await codeTo(to);
  await field(page, EN.code).fill("12");
  await button(page, EN.check).click();
  await page.getByText("Type the 6 digits of the code.").waitFor();
  for (const left of [4, 3]) {
    await field(page, EN.code).fill(wrongCode(code));
    await button(page, EN.check).click();
    await page.getByText(`This code is wrong. Tries left: ${left}.`).waitFor();
    assert.ok(await field(page, EN.code).evaluate((element) => element === document.activeElement));
  }
  assert.equal(await field(page, EN.code).getAttribute("aria-invalid"), "true");
  await accessible(page);
  await shot(page, "verify-wrong");
  for (const _ of [2, 1, 0]) {
    const answered = page.waitForResponse((response) => response.url().endsWith("/v1/page/check"));
    await field(page, EN.code).fill(wrongCode(code));
    await button(page, EN.check).click();
    await answered;
  }
  await page.getByText("Too many wrong codes.").waitFor();
  await field(page, EN.phone).waitFor();
  await accessible(page);
});

scene("the whole message may be pasted", { grants: ["clipboard-read", "clipboard-write"] }, async ({ page }) => {
  const to = fresh();
  await begin(page, to);
  await codeTo(to);
  const [message] = await messages(to);
  await page.evaluate((text) => navigator.clipboard.writeText(text), message.text);
  await field(page, EN.code).focus();
  await page.keyboard.press("Control+V");
  await page.getByRole("heading", { name: EN.done }).waitFor();
});

scene("a code is sent again after a countdown", {}, async ({ page }) => {
  const to = fresh();
  await page.addInitScript(() => {
    window.shown = [];
    const note = () => {
      const seconds = /in (\d+) s$/.exec(document.getElementById("again")?.textContent ?? "")?.[1];
      if (seconds && window.shown.at(-1) !== Number(seconds)) window.shown.push(Number(seconds));
    };
    new MutationObserver(note).observe(document, { childList: true, subtree: true, characterData: true });
  });
  await begin(page, to);
  await page.getByRole("button", { name: /^Send it again in \d+ s$/ }).waitFor();
  assert.ok(await page.getByRole("button", { name: /^Send it again in/ }).isDisabled());
  const first = await codeTo(to);
  const before = await page.evaluate(() => window.shown);
  await page.reload();
  await button(page, "Send it again").waitFor();
  const shown = [...before, ...(await page.evaluate(() => window.shown))];
  // Never more than it is, also when the page is loaded again.
  assert.ok(shown[0] <= 10 && shown.every((seconds, n) => n === 0 || seconds <= shown[n - 1]), shown.join());
  await button(page, "Send it again").click();
  assert.equal(await codeTo(to, 2), first, "the first message may still arrive");
  await page.getByText("The code was sent again.").waitFor({ state: "attached" });
  await field(page, EN.code).fill(first);
  await button(page, EN.check).click();
  await page.getByRole("heading", { name: EN.done }).waitFor();
});

scene("another number takes the first one back", {}, async ({ page }) => {
  const [wrong, right] = [fresh(), fresh()];
  await begin(page, wrong);
  const canceled = page.waitForResponse((response) => response.request().method() === "DELETE");
  await button(page, EN.other).click();
  assert.equal((await canceled).status(), 200);
  await field(page, EN.phone).fill(right);
  await button(page, EN.send).click();
  await field(page, EN.code).fill(await codeTo(right));
  await button(page, EN.check).click();
  await page.getByRole("heading", { name: EN.done }).waitFor();
});

scene("a page that is loaded again goes on", {}, async ({ page }) => {
  const to = fresh();
  await begin(page, to);
  const code = await codeTo(to);
  await page.reload();
  await field(page, EN.code).fill(code);
  assert.equal((await messages(to)).length, 1, "a reload buys no second message");
  await button(page, EN.check).click();
  await page.getByRole("heading", { name: EN.done }).waitFor();
});

scene("a number that cannot be used says why", { silent: false }, async ({ page }) => {
  await page.goto(`${api}/verify`);
  const answer = async (typed) => {
    await field(page, EN.phone).fill(typed);
    await button(page, EN.send).click();
  };
  await answer("");
  await page.getByText("Type your mobile number.").waitFor();
  await answer("9512345678");
  await page.getByText("Numbers like this one are not supported here.").waitFor();
  for (const cutOff of ["9779812345", "9831234567"]) {
    await answer(cutOff);
    await page.getByText("Type its ten digits, without 977 in front").waitFor();
    await field(page, EN.phone).fill("");
    await page.getByText("Type its ten digits, without 977 in front").waitFor({ state: "hidden" });
  }
  const blocked = fresh();
  await ask("PUT", `/v1/phones/${blocked}/block`, {});
  await answer(blocked);
  await page.getByText("This number is blocked.").waitFor();
  await accessible(page);
});

scene("what is lost on the way is asked for again", { silent: false }, async ({ page, context }) => {
  const to = fresh();
  await page.goto(`${api}/verify`);
  await field(page, EN.phone).fill(to);
  await context.setOffline(true);
  await button(page, EN.send).click();
  await page.getByText("There is no connection to the internet.").waitFor();
  await context.setOffline(false);
  await button(page, EN.send).click();
  await field(page, EN.code).waitFor();
  const code = await codeTo(to);
  // The answer to the right code gets lost; the second try finds it.
  await page.route("**/v1/page/check", async (route) => {
    await route.fetch();
    await route.abort();
  }, { times: 1 });
  await field(page, EN.code).fill(code);
  await button(page, EN.check).click();
  await page.getByText("The service cannot be reached.").waitFor();
  await button(page, EN.check).click();
  await page.getByRole("heading", { name: EN.done }).waitFor();
});

scene("where streams are swallowed, answers are waited for", { silent: false }, async ({ page }) => {
  const to = fresh();
  await page.route("**/events", (route) => route.abort());
  await begin(page, to);
  await page.getByText(EN.sent).waitFor();
});

scene("a link that is not whole or too old says so", { silent: false }, async ({ page }) => {
  await page.goto(`${api}/verify#pt_nonsense`);
  await page.getByText("This link is not valid.").waitFor();
  await accessible(page);
  await shot(page, "verify-over");
});

scene("three codes, and no more", { silent: false }, async ({ page }) => {
  await page.goto(await made());
  for (let n = 0; n < 3; n += 1) {
    await field(page, EN.phone).fill(fresh());
    await button(page, EN.send).click();
    await button(page, EN.other).click();
  }
  await field(page, EN.phone).fill(fresh());
  await button(page, EN.send).click();
  await page.getByText("This page cannot send any more codes.").waitFor();
  await accessible(page);
});

scene("all of it with the keyboard", {}, async ({ page }) => {
  const to = fresh();
  await page.goto(`${api}/verify`);
  await field(page, EN.phone).waitFor();
  await page.keyboard.type(to);
  await page.keyboard.press("Enter");
  await field(page, EN.code).waitFor();
  const code = await codeTo(to);
  await tabTo(page, EN.check);
  await tabTo(page, EN.other);
  await tabTo(page, EN.code);
  await page.keyboard.type(code);
  await page.keyboard.press("Enter");
  const heading = page.getByRole("heading", { name: EN.done });
  await heading.waitFor();
  assert.ok(await heading.evaluate((element) => element === document.activeElement), "it is read out");
  await tabTo(page, "Verify another number");
  await page.keyboard.press("Enter");
  await field(page, EN.phone).waitFor();
});

scene("a browser that reads the message fills the code in", {}, async ({ page }) => {
  const to = fresh();
  await page.addInitScript(() => {
    window.OTPCredential = class {};
    navigator.credentials.get = ({ otp }) =>
      new Promise((read) => {
        if (otp) window.arrive = (code) => read({ code });
      });
  });
  await begin(page, to);
  const code = await codeTo(to);
  await page.evaluate((read) => window.arrive(read), code);
  await page.getByRole("heading", { name: EN.done }).waitFor();
});

scene("a failing gateway is told in clear words", {}, async ({ page }) => {
  const simulator = new URL(inbox).origin;
  const faults = (fields) => fetch(`${simulator}/faults`, { method: "PUT", body: JSON.stringify(fields) });
  const to = fresh();
  await faults({ response_code: 1007 });
  try {
    await begin(page, to);
    await page.getByText("This number cannot receive the message.").waitFor();
    await accessible(page);
    await shot(page, "verify-undelivered");
  } finally {
    await faults({ response_code: null });
  }
  await until("no fault", async () => (await (await fetch(`${simulator}/faults`)).json()).response_code === null);
});
