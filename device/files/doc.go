// Package files is the board's side of files in messages.
//
// Store keeps them in a folder, each under its SHA-256 (<2 hex>/<hash>), so that
// what is sent twice, or sent and received, is there once. A file with an owner
// (a message that is made or waits to be sent, an upload of a program) is pinned:
// it stays. The others are a cache, and the ones not used for the longest time
// leave when it is full. Owners are in the board's bbolt file, the files' own
// data nowhere: what the folder holds is read at the start.
//
// Courier carries files between the store and the hub over HTTP: up by tus
// (1.0.0) from where the hub says that it is, down by ranges from where the
// partial file on the disk ends. Either goes on for ever where only the network
// is in the way, also after kill -9.
//
// A file appears under its hash only complete, verified and on disk: it is
// written in tmp/, synced and renamed. What the messages say of files, and who
// may read them, is not known here.
package files
