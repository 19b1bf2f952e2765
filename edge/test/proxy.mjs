// An egress proxy: HTTP (CONNECT and the absolute form) and SOCKS 5 on one port. Prints its port.
//
// Arguments: a login user:password that it asks for, and a name that it resolves to 127.0.0.1. By the
// host that is asked for it misbehaves: status-N.test answers N, socks-N.test the SOCKS reply N,
// silent.test takes the request and says nothing, rude.test cuts the connection.
// GET /_log of its own lists what it was asked to reach, and as whom.
import net from 'node:net';
import http from 'node:http';

const [login = '', known = ''] = process.argv.slice(2);
const log = [];
const address = (host) => (host === known ? '127.0.0.1' : host.replace(/^\[|\]$/g, ''));

function target(authority) {
	const [, host, port] = authority.match(/^(.*):(\d+)$/);
	return { host, port: Number(port) };
}

const misbehaviour = (host) => host.match(/^(status|socks)-(\d+)\.test$|^(silent|rude)\.test$/);

function authorized(request) {
	const given = request.headers['proxy-authorization'] ?? '';
	return login === '' || given === `Basic ${Buffer.from(login).toString('base64')}`;
}

// Joins two sockets until one of them ends.
function join(one, other) {
	for (const [from, to] of [[one, other], [other, one]]) {
		from.on('error', () => to.destroy());
		from.on('close', () => to.destroy());
		from.pipe(to);
	}
}

const server = http.createServer((request, response) => {
	if (request.url === '/_log') return response.end(JSON.stringify(log));
	log.push({ how: 'absolute', to: request.url, headers: request.headers });
	if (!authorized(request)) return response.writeHead(407).end();
	const url = new URL(request.url);
	const wrong = misbehaviour(url.hostname);
	if (wrong) return response.writeHead(Number(wrong[2] ?? 500)).end();
	const { method, headers } = request;
	delete headers['proxy-authorization'];
	const onward = http.request({ host: address(url.hostname), port: url.port, path: url.pathname + url.search, method, headers },
		(answer) => answer.pipe(response.writeHead(answer.statusCode, answer.headers)));
	onward.on('error', () => response.writeHead(502).end());
	request.pipe(onward);
});

server.on('connect', (request, socket) => {
	const { host, port } = target(request.url);
	log.push({ how: 'connect', to: request.url, headers: request.headers });
	const wrong = misbehaviour(host);
	socket.on('error', () => {});
	if (!authorized(request)) return socket.end('HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n');
	if (wrong?.[3] === 'silent') return;
	if (wrong?.[3] === 'rude') return socket.destroy();
	if (wrong) return socket.end(`HTTP/1.1 ${wrong[2]} As asked\r\nContent-Length: 0\r\n\r\n`);
	const onward = net.connect(port, address(host), () => {
		socket.write('HTTP/1.1 200 Connected\r\n\r\n');
		join(socket, onward);
	});
	onward.on('error', () => socket.end('HTTP/1.1 502 Not reached\r\nContent-Length: 0\r\n\r\n'));
});

const take = (socket, n) => new Promise((resolve, reject) => {
	const look = () => {
		const data = socket.read(n);
		if (data !== null) socket.off('readable', look), resolve(data);
	};
	socket.on('close', reject);
	socket.on('readable', look);
	look();
});

async function socks(socket) {
	const [, methods] = await take(socket, 2);
	await take(socket, methods);
	let user = '';
	socket.write(Buffer.from([5, login === '' ? 0 : 2]));
	if (login !== '') {
		const [, userLength] = await take(socket, 2);
		user = String(await take(socket, userLength));
		const [passwordLength] = await take(socket, 1);
		user += `:${await take(socket, passwordLength)}`;
		socket.write(Buffer.from([1, user === login ? 0 : 1]));
		if (user !== login) return socket.end();
	}
	const [, , , type] = await take(socket, 4);
	let host;
	if (type === 1) host = [...(await take(socket, 4))].join('.');
	else if (type === 3) host = String(await take(socket, (await take(socket, 1))[0]));
	else host = (await take(socket, 16)).toString('hex').match(/.{4}/g).join(':');
	const port = (await take(socket, 2)).readUInt16BE();
	const reply = (code) => Buffer.from([5, code, 0, 1, 0, 0, 0, 0, 0, 0]);
	log.push({ how: 'socks', to: `${host}:${port}`, type, user });
	const wrong = misbehaviour(host);
	if (wrong?.[3] === 'silent') return;
	if (wrong) return socket.end(reply(Number(wrong[2] ?? 1)));
	const onward = net.connect(port, address(host), () => {
		socket.write(reply(0));
		join(socket, onward);
	});
	onward.on('error', () => socket.end(reply(5)));
}

// The first byte tells: SOCKS 5 begins with 5, HTTP with a letter.
net.createServer((socket) => {
	socket.on('error', () => {});
	socket.once('readable', () => {
		const first = socket.read(1);
		if (first === null) return;
		socket.unshift(first);
		if (first[0] === 5) socks(socket).catch(() => socket.destroy());
		else server.emit('connection', socket);
	});
}).listen(0, '127.0.0.1', function () {
	console.log(`port ${this.address().port}`);
});
