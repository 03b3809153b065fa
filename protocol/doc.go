// Package protocol holds Herald's words: the registry of API methods and
// events, their request and response types, the table of error codes, the
// frames that agent and hub exchange over MQTT, the topics they travel on, and
// the names of accounts, groups, logs and messages.
//
// It knows no room of Herald and does no input or output. What is derived from
// it (docs/methods.md, the vectors in testdata) is made by protocol/gen.
package protocol

// BuildVersion is the version of the programs, set by the linker.
var BuildVersion = "dev"

// Version is the version of the wire described by herald.cddl. A hub refuses a
// terminal whose version it does not know with a bye.
const Version = 1

//go:generate go run ./gen
