package configs

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes that is written as text: "512B", "64MiB". Its text
// form reads back as exactly the same value.
type Size int64

// The units a Size may have. Decimal ones (MB) are refused, because half of
// their readers take them for these.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

// String writes the largest unit that divides s: "64MiB", "1536KiB", "1000B".
func (s Size) String() string {
	unit, name := Size(1), "B"
	switch {
	case s == 0:
	case s%TiB == 0:
		unit, name = TiB, "TiB"
	case s%GiB == 0:
		unit, name = GiB, "GiB"
	case s%MiB == 0:
		unit, name = MiB, "MiB"
	case s%KiB == 0:
		unit, name = KiB, "KiB"
	}
	return strconv.FormatInt(int64(s/unit), 10) + name
}

// MarshalText is String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSize.
func (s *Size) UnmarshalText(text []byte) error {
	v, err := ParseSize(string(text))
	if err == nil {
		*s = v
	}
	return err
}

func notSize(text string) error {
	return errors.New(quote(text) + ` is not a size; write a whole number with B, KiB, MiB, GiB or TiB, such as "64MiB"`)
}

// ParseSize reads a whole number with a unit, without a space between.
func ParseSize(text string) (Size, error) {
	end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if end <= 0 {
		return 0, notSize(text)
	}
	var unit Size
	switch text[end:] {
	case "B":
		unit = 1
	case "KiB":
		unit = KiB
	case "MiB":
		unit = MiB
	case "GiB":
		unit = GiB
	case "TiB":
		unit = TiB
	default:
		return 0, notSize(text)
	}
	n, err := strconv.ParseInt(text[:end], 10, 64)
	if err != nil || n > math.MaxInt64/int64(unit) {
		return 0, notSize(text)
	}
	return Size(n) * unit, nil
}
