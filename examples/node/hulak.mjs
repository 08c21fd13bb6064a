// Calls Hulak, and verifies its approval tokens. Shared by the two examples beside it; needs Node 18 and nothing else.

import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";

/** Where Hulak is. It is what the tokens name as their issuer, too. */
export const HULAK = (process.env.HULAK_PUBLIC_URL ?? "http://127.0.0.1:8080").replace(/\/+$/, "");
/** Which client application this backend is: `hulak clients list` shows the id. */
export const CLIENT_ID = process.env.HULAK_CLIENT_ID;

/** The key: from the environment, or from the file that the one-process shape makes. */
export const apiKey = () => process.env.HULAK_API_KEY ?? readFileSync("hulak-data/api-key", "ascii").trim();

/** What Hulak answered instead: `slug` for the program, `message` for a person. */
export class Problem extends Error {
  constructor(status, body, retryAfter) {
    super(body.detail ?? `status ${status}`);
    this.status = status;
    this.body = body;
    this.slug = (body.type ?? "").split("/").pop();
    this.retryAfter = retryAfter;
  }
}

/** One call that answers with JSON. */
export async function call(method, path, body, headers = {}) {
  const options = { method, headers: { Authorization: `Bearer ${apiKey()}`, ...headers } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(HULAK + path, { signal: AbortSignal.timeout(10_000), ...options });
  } catch (error) {
    throw new Problem(503, { type: "unavailable", detail: `Hulak cannot be reached: ${error.message}` });
  }
  if (!response.ok) throw await problem(response);
  return response.status === 204 ? null : response.json();
}

const problem = async (response) =>
  new Problem(response.status, await response.json().catch(() => ({})), response.headers.get("retry-after"));

/** A verification as it is and at every change, until it ends. A stream that breaks has to be opened again. */
export async function* events(id) {
  const headers = { Authorization: `Bearer ${apiKey()}` };
  const response = await fetch(`${HULAK}/v1/verifications/${id}/events`, { headers });
  if (!response.ok) throw await problem(response);
  let text = "";
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (text + part).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").find((line) => line.startsWith("data:"));
      if (data) yield JSON.parse(data.slice("data:".length));
    }
  }
}

let known = { keys: [], until: 0 };

/** The key of this id. Keys are kept for five minutes, and asked for again when one is unknown, but not all the time. */
async function keyOf(kid) {
  const now = Date.now();
  const find = () => known.keys.find((key) => key.kid === kid);
  if (now > known.until || (!find() && now > known.until - 290_000)) {
    known = { keys: (await call("GET", "/.well-known/jwks.json")).keys, until: now + 300_000 };
  }
  const jwk = find();
  if (!jwk || jwk.kty !== "OKP" || jwk.crv !== "Ed25519") throw new Error("the token's key is unknown");
  return createPublicKey({ key: jwk, format: "jwk" });
}

/** The claims of an approval token that Hulak signed for this application, and that has not run out. */
export async function readToken(token, audience = CLIENT_ID) {
  const [head, body, signature, ...more] = String(token).split(".");
  const json = (part) => JSON.parse(Buffer.from(part ?? "", "base64url"));
  const { alg, kid } = json(head);
  if (alg !== "EdDSA" || more.length > 0) throw new Error("this is not an approval token");
  const signed = Buffer.from(`${head}.${body}`);
  if (!verify(null, signed, await keyOf(kid), Buffer.from(signature ?? "", "base64url"))) {
    throw new Error("the signature is wrong");
  }
  const claims = json(body);
  if (claims.iss !== HULAK) throw new Error("the token is of another issuer");
  if (claims.aud !== audience) throw new Error("the token is for another application");
  if (!(claims.exp > Date.now() / 1000 - 30)) throw new Error("the token has run out");
  return claims;
}

/** The tokens that were used. Two processes need a shared one: a table with `jti` as its primary key. */
export class Spent {
  #until = new Map();

  /** Whether this is the first use. */
  spend({ jti, exp }) {
    const now = Date.now() / 1000;
    for (const [old, until] of this.#until) if (until < now) this.#until.delete(old);
    if (this.#until.has(jti)) return false;
    this.#until.set(jti, exp + 30);
    return true;
  }
}
