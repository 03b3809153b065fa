package store

import (
	"encoding/binary"
	"hash/crc32"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Seal adds a checksum (CRC-32C, 4 bytes) to a value: bbolt's own cover only the
// newest transaction's number, and a page that was half written when the power
// failed looks well to it.
func Seal(v []byte) []byte {
	return binary.BigEndian.AppendUint32(v, crc32.Checksum(v, castagnoli))
}

// Unseal returns the value that was sealed; ok is false if it is not what it was.
func Unseal(b []byte) (v []byte, ok bool) {
	if len(b) < 4 {
		return nil, false
	}
	v = b[: len(b)-4 : len(b)-4]
	return v, crc32.Checksum(v, castagnoli) == binary.BigEndian.Uint32(b[len(b)-4:])
}
