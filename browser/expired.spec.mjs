// A code that is too old. `hulak` runs with codes that live for some seconds.

import { accessible, api, codeTo, scene, shot } from "./harness.mjs";

scene("a code that is too old says so, and a new one may be asked for", { silent: false }, async ({ page }) => {
  const to = "9841234567";
  await page.goto(`${api}/verify`);
  await page.getByLabel("Mobile number", { exact: true }).fill(to);
  await page.getByRole("button", { name: "Send code" }).click();
  await page.getByText("This code has expired. Request a new one.").waitFor();
  await accessible(page);
  await shot(page, "verify-expired");
  await page.getByRole("button", { name: "Send code" }).click();
  // The second message comes of the second code.
  await codeTo(to, 2);
});
