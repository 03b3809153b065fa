package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// printable makes others' text safe for a terminal: what could move the cursor,
// change colours or turn the direction of writing is shown as an escape of Go.
func printable(s string) string {
	clean := true
	for _, r := range s {
		if !harmless(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case harmless(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += size
	}
	return b.String()
}

func harmless(r rune) bool {
	// The joiners bind letters and pictures together.
	return r != utf8.RuneError && (unicode.IsPrint(r) || r == '\u200d' || r == '\u200c')
}

// quoted is printable in quotation marks that the text cannot end.
func quoted(s string) string {
	return `"` + strings.ReplaceAll(printable(strings.ReplaceAll(s, `\`, `\\`)), `"`, `\"`) + `"`
}

// printJSON prints JSON as it is, except that what is not harmless is escaped
// as JSON allows within its strings, and that is where it can only be.
func (sh *shell) printJSON(b []byte) {
	fmt.Fprintln(sh.out, safeJSON(string(b)))
}

func safeJSON(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case harmless(r):
			b.WriteRune(r)
		case r > 0xffff:
			hi, lo := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		case r == '\n' || r == '\t' || r == '\r': // between values
			b.WriteByte(' ')
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// clock shows a time in Unix seconds as a person at the board would say it: the
// date only if it is not today's. 0 is now.
func (sh *shell) clock(unix int64) string {
	now := sh.now().In(sh.zone)
	t := now
	if unix != 0 {
		t = time.Unix(unix, 0).In(sh.zone)
	}
	if t.Year() == now.Year() && t.YearDay() == now.YearDay() {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}

// span shows a duration by its two largest units.
func span(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s%86400/3600)
}

// size shows bytes.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

// columns prints rows with their cells one below the other. Cells are made
// printable; the last one of a row is not padded.
func (sh *shell) columns(indent string, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(printable(cell)))
		}
	}
	for _, row := range rows {
		line := indent
		for i, cell := range row {
			cell = printable(cell)
			line += cell
			if i < len(row)-1 {
				line += strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
			}
		}
		fmt.Fprintln(sh.out, strings.TrimRight(line, " "))
	}
}
