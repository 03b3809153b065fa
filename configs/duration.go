package configs

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time span that is written as text: "500ms", "20s", "1h30m",
// "180d". Its text form reads back as exactly the same value.
type Duration time.Duration

// D is d for the standard library.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String writes hours, minutes and smaller units, without those that are zero:
// "10m", "87600h".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseDuration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	if err == nil {
		*d = v
	}
	return err
}

func notDuration(text string) error {
	return errors.New(quote(text) + ` is not a time span; write "500ms", "20s", "10m", "1h30m" or "180d"`)
}

const day = 24 * time.Hour

// ParseDuration reads what time.ParseDuration does, and whole days of 24 hours
// at the front: "180d", "1d12h". It also serves flags such as --expire.
func ParseDuration(text string) (Duration, error) {
	days, rest, hasDays := strings.Cut(text, "d")
	if !hasDays {
		v, err := time.ParseDuration(text)
		if err != nil {
			return 0, notDuration(text)
		}
		return Duration(v), nil
	}
	n, err := strconv.ParseUint(days, 10, 31)
	if err != nil || n > uint64(math.MaxInt64/day) {
		return 0, notDuration(text)
	}
	var v time.Duration
	if rest != "" {
		if v, err = time.ParseDuration(rest); err != nil || rest[0] == '-' || rest[0] == '+' {
			return 0, notDuration(text)
		}
	}
	if v > math.MaxInt64-time.Duration(n)*day {
		return 0, notDuration(text)
	}
	return Duration(time.Duration(n)*day + v), nil
}
