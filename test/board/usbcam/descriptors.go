package main

import "encoding/binary"

// The camera's descriptors (USB 2.0 §9.6, UVC 1.1 §3).

const (
	width, height = 320, 240
	interval      = 1_000_000 // of pictures, in 100 ns: 10 a second
	maxFrame      = 128 << 10
	maxPayload    = 16 << 10 // with its header
	streamingIn   = 0x81     // the endpoint
)

// The formats, by their index.
const (
	formatMJPEG = 1
	formatH264  = 2
)

func u16(v uint16) []byte { return binary.LittleEndian.AppendUint16(nil, v) }
func u32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// descriptor is one with its length before it.
func descriptor(parts ...any) []byte {
	b := []byte{0}
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case uint16:
			b = append(b, u16(p)...)
		case uint32:
			b = append(b, u32(p)...)
		case []byte:
			b = append(b, p...)
		}
	}
	b[0] = byte(len(b))
	return b
}

func deviceDescriptor() []byte {
	return descriptor(1, uint16(0x0200), 0xef, 2, 1, 64, uint16(0x1209), uint16(1), uint16(1), 1, 2, 0, 1)
}

func configuration() []byte {
	const classInterface, subHeader = 0x24, 1
	control := join(
		descriptor(classInterface, 2, 1, uint16(0x0201), 0, 0, uint16(0), uint16(0), uint16(0), 3, []byte{0, 0, 0}), // the lens, without controls
		descriptor(classInterface, 3, 2, uint16(0x0101), 0, 1, 0),                                                   // to the USB
	)
	header := descriptor(classInterface, subHeader, uint16(0x0110), uint16(13+len(control)), uint32(48_000_000), 1, 1)
	guid := []byte{'H', '2', '6', '4', 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71}
	rate := uint32(maxFrame * 8 * 10)
	streaming := join(
		descriptor(classInterface, 6, formatMJPEG, 1, 1, 1, 0, 0, 0, 0),
		descriptor(classInterface, 7, 1, 0, uint16(width), uint16(height), uint32(100_000), rate, uint32(maxFrame), uint32(interval), 1, uint32(interval)),
		descriptor(classInterface, 0x10, formatH264, 1, guid, 16, 1, 0, 0, 0, 0, 1),
		descriptor(classInterface, 0x11, 1, 0, uint16(width), uint16(height), uint32(100_000), rate, uint32(interval), 1, uint32(0), uint32(interval)),
	)
	input := descriptor(classInterface, subHeader, 2, uint16(13+2+len(streaming)), streamingIn, 0, 2, 0, 0, 0, 1, 0, 0)
	binary.LittleEndian.PutUint16(input[4:], uint16(len(input)+len(streaming)))
	rest := join(
		descriptor(11, 0, 2, 0x0e, 3, 0, 0),   // what belongs together
		descriptor(4, 0, 0, 0, 0x0e, 1, 0, 0), // video control
		header, control,                       //
		descriptor(4, 1, 0, 1, 0x0e, 2, 0, 0), // video streaming
		input, streaming,                      //
		descriptor(5, streamingIn, 2, uint16(512), 0), // bulk
	)
	return append(descriptor(2, uint16(9+len(rest)), 2, 1, 0, 0x80, 250), rest...)
}

func text(s string) []byte {
	b := []byte{3}
	for _, c := range s {
		b = append(b, u16(uint16(c))...)
	}
	return descriptor(b)
}

func join(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}
