// The receiver of webhooks in the demo and in end-to-end tests.
//
// Usage: node receiver.mjs [--port N] [--secret whsec_…] [--modules FOLDER]
//
// Listens on 127.0.0.1 (a free port unless one is given) and prints its URL. How a request is
// answered depends on the first part of its path; what follows that part only tells endpoints apart.
//
//   /healthy  200
//   /flaky    503 to the first two tries of each message id, then 200
//   /shaky    503 to one try in twenty, at random, 200 to the others
//   /broken   500
//   /busy     429 with Retry-After: 2 to the first request, then 200
//   /answer   as the query says: status=404 (200), retry_after=5, times=3 (the first three requests
//             of the path are answered so, later ones 200; without it all are)
//
// Query parameters of any path: delay=ms before the answer, size=bytes of its body, drip=ms between
// single bytes of the body.
//
// Each signature is checked with the library `standardwebhooks` where it is installed (in FOLDER, or
// beside this file), otherwise with node's own HMAC; GET /stats says which. A wrong one is answered
// 401 and counted.
//
// Control:
//   PUT /secrets   {"/healthy": "whsec_…", …}: the secret of a path; --secret is that of all others
//   GET /stats     what arrived, as JSON, for each path and in all
//   GET /log       the same for each message: path, id, requests, accepted, separated by tabs
//
// A message is accepted when it is answered 2xx; if it comes again after that it is a duplicate. A
// request is early when it comes to a path before the time that an answer's Retry-After asked for.
import http from 'node:http';
import crypto from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
	options: {
		port: { type: 'string', default: '0' },
		secret: { type: 'string' },
		modules: { type: 'string', default: fileURLToPath(new URL('.', import.meta.url)) },
	},
});

const verifier = loadVerifier();
const secrets = new Map();
const paths = new Map();

// ---- signatures ----

// { name, check(secret, headers, body) }; check throws when the signature is wrong.
function loadVerifier() {
	const require = createRequire(import.meta.url);
	try {
		const main = require.resolve('standardwebhooks', { paths: [options.modules] });
		const { Webhook } = require(main);
		const { version } = JSON.parse(readFileSync(new URL('../package.json', `file://${main}`)));
		return {
			name: `standardwebhooks ${version}`,
			check: (secret, headers, body) =>
				new Webhook(secret).verify(body, headers, { jsonParse: false }),
		};
	} catch (error) {
		if (error.code !== 'MODULE_NOT_FOUND') throw error;
		return { name: 'node:crypto', check: checkByHand };
	}
}

function checkByHand(secret, headers, body) {
	const at = headers['webhook-timestamp'];
	const signed = `${headers['webhook-id']}.${at}.`;
	const expected = crypto
		.createHmac('sha256', Buffer.from(secret.replace(/^whsec_/, ''), 'base64'))
		.update(signed)
		.update(body)
		.digest('base64');
	if (!(Math.abs(Date.now() / 1000 - Number(at)) <= 300)) throw new Error('too old or too new');
	if (!String(headers['webhook-signature']).split(' ').includes(`v1,${expected}`))
		throw new Error('no signature matches');
}

// ---- what is known of a path, and of a message on it ----

function pathOf(name) {
	if (!paths.has(name))
		paths.set(name, {
			messages: new Map(),
			requests: 0,
			refused: 0, // signature wrong or missing
			unchecked: 0, // no secret known
			duplicates: 0,
			early: 0,
			notBefore: 0, // ms since the start, from Retry-After
			asked: null, // when a Retry-After was sent last
			returned: null, // ms from then to the first request after it
		});
	return paths.get(name);
}

function messageOf(path, id) {
	if (!path.messages.has(id)) path.messages.set(id, { requests: 0, accepted: 0 });
	return path.messages.get(id);
}

// ---- behaviours: each returns { status, retryAfter? } ----

const behaviours = {
	healthy: () => ({ status: 200 }),
	flaky: (path, message) => ({ status: message.requests <= 2 ? 503 : 200 }),
	shaky: () => ({ status: Math.random() < 0.05 ? 503 : 200 }),
	broken: () => ({ status: 500 }),
	busy: (path) => (path.requests === 1 ? { status: 429, retryAfter: 2 } : { status: 200 }),
	answer: (path, message, query) => {
		if (query.has('times') && path.requests > Number(query.get('times'))) return { status: 200 };
		const retryAfter = query.get('retry_after');
		return { status: Number(query.get('status') ?? 200), ...(retryAfter && { retryAfter }) };
	},
};

function noteTime(path, now) {
	if (now < path.notBefore) path.early++;
	if (path.asked !== null && path.returned === null) path.returned = Math.round(now - path.asked);
}

// Decides on a webhook as soon as all of it is there, so that what is counted is what arrived, also
// when whoever sent it is gone before the answer is.
function decide(behaviour, pathname, query, headers, body) {
	const path = pathOf(pathname);
	const secret = secrets.get(pathname) ?? options.secret;
	const now = performance.now();

	path.requests++;
	noteTime(path, now);
	if (secret === undefined) path.unchecked++;
	else {
		try {
			verifier.check(secret, headers, body);
		} catch {
			path.refused++;
			return { status: 401 };
		}
	}

	const message = messageOf(path, headers['webhook-id'] ?? '');
	message.requests++;
	if (message.accepted > 0) path.duplicates++;
	const answer = behaviour(path, message, query);
	if (answer.status >= 200 && answer.status < 300) message.accepted++;
	if (answer.retryAfter) {
		path.asked = now;
		path.returned = null;
		path.notBefore = now + Number(answer.retryAfter) * 1000;
	}
	return answer;
}

// ---- answers ----

function send(response, query, { status, retryAfter }) {
	const body = Buffer.alloc(Number(query.get('size') ?? 0), 'x');
	const drip = Number(query.get('drip') ?? 0);

	response.on('error', () => {});
	response.writeHead(status, {
		'Content-Length': body.length,
		...(retryAfter && { 'Retry-After': String(retryAfter) }),
	});
	if (drip === 0 || body.length === 0) {
		response.end(body);
		return;
	}
	let sent = 0;
	const timer = setInterval(() => {
		if (response.destroyed || sent === body.length) {
			clearInterval(timer);
			response.end();
		} else response.write(body.subarray(sent, ++sent));
	}, drip);
}

function sendText(response, status, type, text) {
	response.writeHead(status, { 'Content-Type': type });
	response.end(text);
}

// ---- control ----

function statsOf(path) {
	const messages = [...path.messages.values()];
	return {
		requests: path.requests,
		messages: messages.length,
		accepted: messages.filter((message) => message.accepted > 0).length,
		duplicates: path.duplicates,
		refused: path.refused,
		unchecked: path.unchecked,
		early: path.early,
		returned_after_ms: path.returned,
	};
}

function stats() {
	const each = Object.fromEntries([...paths].map(([name, path]) => [name, statsOf(path)]));
	const total = {};
	for (const one of Object.values(each))
		for (const [key, value] of Object.entries(one))
			if (key !== 'returned_after_ms') total[key] = (total[key] ?? 0) + value;
	return { verifier: verifier.name, total, paths: each };
}

function log() {
	let text = '';
	for (const [name, path] of paths)
		for (const [id, message] of path.messages)
			text += `${name}\t${id}\t${message.requests}\t${message.accepted}\n`;
	return text;
}

const controls = {
	'PUT /secrets': (response, body) => {
		for (const [path, secret] of Object.entries(JSON.parse(body))) secrets.set(path, secret);
		sendText(response, 200, 'text/plain', 'noted\n');
	},
	'GET /stats': (response) =>
		sendText(response, 200, 'application/json', `${JSON.stringify(stats(), null, 2)}\n`),
	'GET /log': (response) => sendText(response, 200, 'text/tab-separated-values', log()),
};

// ---- the server ----

function handle(request, response, body) {
	const { pathname, searchParams: query } = new URL(request.url, 'http://receiver');
	const control = controls[`${request.method} ${pathname}`];
	const behaviour = behaviours[pathname.split('/')[1]];

	if (control) control(response, body);
	else if (request.method !== 'POST' || !behaviour)
		sendText(response, 404, 'text/plain', 'no such path\n');
	else {
		const answer = decide(behaviour, pathname, query, request.headers, body);
		const delay = Number(query.get('delay') ?? 0);
		if (delay > 0) setTimeout(send, delay, response, query, answer);
		else send(response, query, answer);
	}
}

const server = http.createServer((request, response) => {
	const chunks = [];
	request.on('data', (chunk) => chunks.push(chunk));
	request.on('error', () => {}); // the sender is gone before its request was whole
	request.on('end', () => {
		try {
			handle(request, response, Buffer.concat(chunks));
		} catch (error) {
			sendText(response, 400, 'text/plain', `${error.message}\n`);
		}
	});
});

server.keepAliveTimeout = 60_000; // an idle connection is the sender's to close
server.listen(Number(options.port), '127.0.0.1', () =>
	console.log(`http://127.0.0.1:${server.address().port}`),
);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
