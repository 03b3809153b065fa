// Package localapi answers the programs of the board: HTTP with JSON on a unix
// socket and, if configured, on TCP with a bearer token; events as server-sent
// events (WHATWG HTML §9.2).
//
//	POST /v1/<module>/<method>   a method of the registry
//	GET  /v1/events              events of the journal and of the moment
//	POST /v1/files               a file to make a message of
//	GET  /v1/files/<uuid>        a file of a message
//	GET  /v1/status              device.getStatus
//	GET  /healthz                200, or 503 when the daemon is not well
//	GET  /metrics                for Prometheus
//	GET  /herald.js, …           the JavaScript client (package web), without a token
//
// Answers are JSON with a newline: 200 and {"status":true,…}, or a status of
// 4xx or 5xx and {"code":…,"msg":…} with a code of protocol's table. The
// exceptions are the event stream, the files, the pictures, the metrics, the
// answer 204 to a preflight, and net/http's own words to what is not HTTP at all.
//
// What a method does is not here: the agent binds it in a protocol.Table.
package localapi
