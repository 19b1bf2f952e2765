// An HTTP server that misbehaves on request: the first part of the path says how. Prints its URL.
//
//   /ok /status/503 /json /big/9 answers: a status, JSON, so many bytes
//   /gate                     answers only once GET /_open was asked for
//   /later/2000               answers after so many milliseconds
//   /hang /drip /dripheaders  takes the request and stays silent, or sends a byte now and then
//   /huge /hugeheaders /interim  a body, a header block, or interim responses without end
//   /trailers /chunks /line      the same of a trailer, a chunk's extension, the status line
//   /bigheaders /bomb /trickle   10 MB of headers; 64 MB packed into 64 kB; a byte a second
//   /afterthought             a 200 whose trailer looks like another answer
//   /early /cut /unasked         a body that ends or breaks too soon; more answers than were asked for
//   /reset /garbage /redirect    cuts the connection, answers something else, answers 302
//   /consent                  answers OPTIONS as GET /_consent/ORIGIN/RATE asked for, and takes the rest
//
// GET /_seen lists what was received; GET /_connections counts the connections accepted.
// With a key file and a certificate file as arguments it speaks HTTPS; with a third, of an authority,
// it asks for a client certificate from that, and takes requests without one too.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { gzipSync } from 'node:zlib';

const seen = [];
const gated = [];
let open = false;
let connections = 0;
// 64 MB of nothing, packed into 64 kB
const bomb = gzipSync(Buffer.alloc(64 << 20));
let consent = {};

// Writes until the socket is full, then again when it has room, until the other side is gone.
function flood(stream, piece) {
	const more = () => {
		while (!stream.destroyed && stream.write(piece));
		if (!stream.destroyed) stream.once('drain', more);
	};
	stream.on('error', () => {});
	more();
}

function drip(stream, piece, pause = 50) {
	const timer = setInterval(() => (stream.destroyed ? clearInterval(timer) : stream.write(piece)), pause);
	stream.on('error', () => {});
}

const behaviours = {
	ok: (request, response) => response.end('ok'),
	status: (request, response, argument) => {
		response.statusCode = Number(argument);
		response.end('as asked');
	},
	json: (request, response) => {
		response.setHeader('content-type', 'application/json');
		response.setHeader('x-twice', ['a', 'b']);
		response.setHeader('set-cookie', ['c=1', 'd=2']);
		response.end('{"ok": true, "n": [1, 2]}');
	},
	big: (request, response, argument) => response.end(Buffer.alloc(Number(argument), 'k')),
	gate: (request, response) => (open ? response.end('open') : gated.push(response)),
	later: (request, response, argument) => setTimeout(() => response.end('late'), Number(argument)),
	hang: () => {},
	drip: (request, response) => {
		response.writeHead(200);
		drip(response, 'x');
	},
	dripheaders: (request) => {
		request.socket.write('HTTP/1.1 200 OK\r\nX-Drip: ');
		drip(request.socket, 'x');
	},
	huge: (request, response) => flood(response, Buffer.alloc(65536, 'y')),
	hugeheaders: (request) => {
		request.socket.write('HTTP/1.1 200 OK\r\n');
		flood(request.socket, `X-Filler: ${'z'.repeat(1000)}\r\n`.repeat(16));
	},
	interim: (request) => flood(request.socket, 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(500)),
	trailers: (request) => {
		request.socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n');
		flood(request.socket, `X-Trailer: ${'t'.repeat(1000)}\r\n`.repeat(16));
	},
	afterthought: (request) =>
		request.socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nHTTP/1.1 500 No: no\r\n\r\n'),
	chunks: (request) => {
		request.socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;');
		flood(request.socket, 'extension'.repeat(4000));
	},
	line: (request) => {
		request.socket.write('HTTP/1.1 200 ');
		flood(request.socket, 'O'.repeat(65536));
	},
	bigheaders: (request) => {
		request.socket.on('error', () => {});
		request.socket.end(`HTTP/1.1 200 OK\r\n${`X-Filler: ${'z'.repeat(1000)}\r\n`.repeat(10000)}Content-Length: 0\r\n\r\n`);
	},
	bomb: (request, response) => {
		response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': bomb.length });
		response.end(bomb);
	},
	trickle: (request, response) => {
		response.writeHead(200);
		drip(response, 'x', 1000);
	},
	early: (request) => request.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf'),
	cut: (request) => {
		request.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf', () => request.socket.resetAndDestroy());
	},
	unasked: (request) => request.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok' + 'HTTP/1.1 500 No\r\n\r\n'.repeat(50)),
	reset: (request) => request.socket.resetAndDestroy(),
	garbage: (request) => request.socket.end('good day to you\r\n\r\n'),
	redirect: (request, response) => {
		response.writeHead(302, { location: '/redirected' });
		response.end();
	},
	redirected: (request, response) => response.end('followed'),
	consent: (request, response) => response.writeHead(200, request.method === 'OPTIONS' ? consent : {}).end(),
	_consent: (request, response) => {
		const [, , origin, rate] = request.url.split('/');
		consent = {};
		if (origin) consent['WebHook-Allowed-Origin'] = origin;
		if (rate) consent['WebHook-Allowed-Rate'] = rate;
		response.end();
	},
	_seen: (request, response) => response.end(JSON.stringify(seen)),
	_connections: (request, response) => response.end(String(connections)),
	_open: (request, response) => {
		open = true;
		gated.splice(0).forEach((held) => held.end('opened'));
		response.end('open');
	},
};

function handle(request, response) {
	const [, name, argument] = request.url.split('/');
	const chunks = [];

	request.on('data', (chunk) => chunks.push(chunk));
	request.on('error', () => {});
	request.on('end', () => {
		if (!name.startsWith('_')) {
			seen.push({
				id: request.headers['webhook-id'],
				path: request.url,
				method: request.method,
				headers: request.headers,
				client: request.socket.getPeerCertificate?.()?.subject?.CN,
				body: Buffer.concat(chunks).toString('base64'),
			});
		}
		(behaviours[name] ?? behaviours.ok)(request, response, argument);
	});
}

const [key, cert, ca] = process.argv.slice(2).map((file) => readFileSync(file));
const server = key ? https.createServer({ key, cert, ca, requestCert: Boolean(ca), rejectUnauthorized: false }, handle) : http.createServer(handle);
const scheme = key ? 'https' : 'http';

server.keepAliveTimeout = 60000;
server.on('connection', () => connections++);
server.listen(0, '127.0.0.1', () => console.log(`${scheme}://127.0.0.1:${server.address().port}`));
