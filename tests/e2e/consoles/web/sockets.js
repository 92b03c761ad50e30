// Keeps what every WebSocket of the page ended with, for the tests to read; load it before the client.
window.sockets = [];
window.WebSocket = new Proxy(WebSocket, {
  construct(target, given) {
    const socket = new target(...given);
    const entry = { url: socket.url, protocol: null, code: null, reason: null };
    window.sockets.push(entry);
    socket.addEventListener("open", () => { entry.protocol = socket.protocol; });
    socket.addEventListener("close", ({ code, reason }) => Object.assign(entry, { code, reason }));
    return socket;
  },
});
