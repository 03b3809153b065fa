// Package web is the JavaScript client of a board's local API: the sources in src,
// the two builds made of them, herald.js for a script element or require and
// herald.mjs for import, and their types. The agent serves them to pages, and this
// folder is an npm package as it stands. How the API works is not here: that is
// agent/localapi, and the methods are package protocol's.
package web

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
)

var (
	//go:embed herald.js
	classic []byte
	//go:embed herald.mjs
	module []byte
	//go:embed herald.d.ts
	types []byte
)

// File is one file of the client.
type File struct {
	// Name it is served by, without a slash.
	Name string
	// Type is its Content-Type.
	Type string
	// ETag names its content, in quotes [RFC 9110 §8.8.3].
	ETag string
	// Body must not be changed.
	Body []byte
}

// Files are what a page may load.
var Files = []File{
	file("herald.js", "text/javascript; charset=utf-8", classic),
	file("herald.mjs", "text/javascript; charset=utf-8", module),
	file("herald.d.ts", "text/plain; charset=utf-8", types),
}

func file(name, contentType string, body []byte) File {
	sum := sha256.Sum256(body)
	return File{Name: name, Type: contentType, ETag: `"` + hex.EncodeToString(sum[:16]) + `"`, Body: body}
}
