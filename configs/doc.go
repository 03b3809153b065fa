// Package configs holds the configuration of the two programs: what the files
// may say, what is the case where they say nothing, and the checks that make a
// value safe to use.
//
// [Agent] is herald's (sample: herald.toml), [Hub] is herald-hub's (sample:
// hub.toml). A sample has every key with its default, and a test holds it to
// [DefaultAgent] and [DefaultHub]. A program loads its file, lets its flags
// win, calls Validate again and trusts the values from there on. Both structs
// and all their sections are comparable, so "did the reload change my part" is
// one old != new; a list is therefore kept as the text that the file has, with
// a method that splits it.
//
// Nothing here opens what a key points at: a missing certificate is for the
// room that reads it to report. The package imports no other room, so it has
// the few rules of the others that its checks need (user ids, addresses).
package configs
