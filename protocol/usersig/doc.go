// Package usersig signs, verifies and reads UserSigs: the tickets (Tencent's
// TLSSigAPIv2) with which an account logs in.
//
// A UserSig is a JSON object with the claims and an HMAC-SHA256 over them,
// packed with zlib and written in a base64 whose "+/=" are "*-_". It is a
// secret like a password: nothing here puts one, or a part of one, into an
// error.
//
// [Sign] and [Verify] are the hub's; [Inspect] is the board's, which has no
// key and, because its clock may say 1970, must not judge an expiry. What a
// code means to a program, revocation and rate limits live elsewhere. One set
// of claims has many spellings (zlib levels), so whoever revokes must go by
// the claims and not by the text.
package usersig
