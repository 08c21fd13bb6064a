// The backend of the page in ../browser: HULAK_CLIENT_ID=… node examples/node/server.mjs
//
//   POST /verifications  {"phone"}   asks for a code, and hands the client token to the page
//   POST /session        {"token"}   believes an approval token once, and lets in
//   GET  /session                    who is in
//
// Hulak has to allow the page's origin: HULAK_CORS_ORIGINS=http://localhost:3000. PORT (3000) is where this listens,
// ORIGIN what the browser shows as the page's origin. Sessions live in memory here: keep them wherever your framework does.

import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { CLIENT_ID, HULAK, Problem, Spent, call, readToken } from "./hulak.mjs";

const LIFE = 12 * 3600;
const BODY_LIMIT = 16 * 1024;

const FILES = new Map(
  [
    ["/", "index.html", "text/html; charset=utf-8"],
    ["/app.js", "app.js", "text/javascript; charset=utf-8"],
    ["/style.css", "style.css", "text/css; charset=utf-8"],
  ].map(([path, file, type]) => [path, { type, data: readFileSync(new URL(`../browser/${file}`, import.meta.url)) }]),
);

const HEADERS = {
  "Content-Security-Policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    `connect-src 'self' ${new URL(HULAK).origin}`,
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join("; "),
  "Permissions-Policy": "otp-credentials=(self)",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

const spent = new Spent();
const sessions = new Map();

/** A new visitor, by a cookie that nobody can guess. */
function start(what) {
  const now = Date.now();
  for (const [id, { until }] of sessions) if (until < now) sessions.delete(id);
  const session = { id: randomBytes(32).toString("base64url"), until: now + LIFE * 1000, ...what };
  sessions.set(session.id, session);
  return session;
}

function find(request) {
  const id = /(?:^|;\s*)session=([\w-]+)/.exec(request.headers.cookie ?? "")?.[1];
  const session = sessions.get(id);
  return session && session.until > Date.now() ? session : null;
}

/** Asks for a code. The page gets what it may know: nothing of ours. */
async function begin(request, { phone }) {
  const session = find(request) ?? start({});
  const { client_token, metadata, ...verification } = await call("POST", "/v1/verifications", {
    phone: String(phone ?? ""),
    session: createHash("sha256").update(session.id).digest("hex"),
    origin: new URL(origin).hostname,
    // Behind a proxy this is the proxy's: take the address that the proxy vouches for.
    end_user_ip: request.socket.remoteAddress,
  });
  session.verification = verification.id;
  return { status: 202, session, body: { api: HULAK, now: new Date().toISOString(), verification, client_token } };
}

/** Lets in whoever proves the number of the verification that this very visitor began. */
async function letIn(request, { token }) {
  const session = find(request);
  const refused = (detail) => new Problem(401, { type: "token-refused", detail });
  const claims = await readToken(token).catch((error) => {
    throw error instanceof Problem ? error : refused(error.message);
  });
  if (!session?.verification || claims.jti !== session.verification || claims.purpose !== "verify") {
    throw refused("the token is of another verification");
  }
  if (!spent.spend(claims)) throw refused("the token was used already");
  // A new cookie: whoever may have known the old one is not in.
  const user = { phone: claims.sub };
  return { status: 200, session: start({ user }), body: user };
}

async function whoIsIn(request) {
  const user = find(request)?.user;
  if (!user) throw new Problem(401, { type: "unauthorized", detail: "nobody is signed in" });
  return { status: 200, body: user };
}

const ROUTES = { "POST /verifications": begin, "POST /session": letIn, "GET /session": whoIsIn };

async function read(request) {
  // Another site's page can send neither this origin nor this type.
  if (request.headers.origin !== origin) throw new Problem(403, { type: "forbidden", detail: "another origin" });
  if (!/^application\/json\b/.test(request.headers["content-type"] ?? "")) {
    throw new Problem(415, { type: "unsupported-media-type", detail: "send JSON" });
  }
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > BODY_LIMIT) throw new Problem(413, { type: "body-too-large", detail: "send less" });
    parts.push(part);
  }
  try {
    return Object(JSON.parse(Buffer.concat(parts).toString()));
  } catch {
    throw new Problem(400, { type: "malformed-json", detail: "this is not JSON" });
  }
}

/** What the page is told: Hulak's own words, but for those that are about this backend and not about the visitor. */
function tell(error, route) {
  const ours = ["unauthorized", "forbidden", "not-found", "internal", ""];
  const fromHulak = error instanceof Problem && String(error.body.type).includes("/");
  if (!(error instanceof Problem) || (fromHulak && ours.includes(error.slug))) {
    console.error(route, error.message);
    return { status: 502, body: { type: "internal", title: "Something broke on our side", status: 502 } };
  }
  return { status: error.status, body: { status: error.status, ...error.body }, retryAfter: error.retryAfter };
}

async function handle(request, response) {
  const path = request.url.split("?")[0];
  const file = request.method === "GET" ? FILES.get(path) : undefined;
  if (file && request.headers.host !== new URL(origin).host) {
    // Another name for this machine is another origin, which Hulak does not know.
    return response.writeHead(307, { ...HEADERS, Location: origin + path }).end();
  }
  if (file) {
    return response.writeHead(200, { ...HEADERS, "Content-Type": file.type, "Cache-Control": "no-cache" }).end(file.data);
  }
  const route = `${request.method} ${path}`;
  const work = Object.hasOwn(ROUTES, route) ? ROUTES[route] : undefined;
  let answer;
  try {
    if (!work) throw new Problem(404, { type: "not-found", detail: "not found" });
    answer = await work(request, request.method === "POST" ? await read(request) : {});
  } catch (error) {
    answer = { ...tell(error, route), problem: true };
  }
  const headers = { ...HEADERS, "Cache-Control": "no-store" };
  headers["Content-Type"] = answer.problem ? "application/problem+json" : "application/json";
  if (answer.retryAfter) headers["Retry-After"] = answer.retryAfter;
  if (answer.problem && !request.complete) headers.Connection = "close";
  if (answer.session) {
    const secure = origin.startsWith("https:") ? "; Secure" : "";
    headers["Set-Cookie"] = `session=${answer.session.id}; HttpOnly; SameSite=Lax; Path=/; Max-Age=${LIFE}${secure}`;
  }
  response.writeHead(answer.status, headers).end(JSON.stringify(answer.body));
}

if (!CLIENT_ID) {
  console.error("HULAK_CLIENT_ID is not set: `hulak clients list` shows it, and verify.mjs prints it");
  process.exit(2);
}
const server = createServer((request, response) => {
  handle(request, response).catch((error) => {
    console.error(error);
    response.destroy();
  });
});
let origin = process.env.ORIGIN;
server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  origin ??= `http://localhost:${server.address().port}`;
  console.log(`Listening on ${origin}`);
});
